package bucket

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

var update = flag.Bool("update", false, "write the files under testdata/ anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs, -want +got (write it anew with -update):\n%s", path, d)
	}
}

const (
	writerARN = "arn:aws:iam::123456789012:role/trail-writer"
	readerARN = "arn:aws:iam::123456789012:user/auditor"
)

func TestPolicies(t *testing.T) {
	full, plain := everything(), v1alpha1.Destination{Endpoint: "http://s3.example.com:9000"}
	observed := everything()
	observed.ManagementPolicy = v1alpha1.PolicyObserve
	observed.Endpoint = "https://s3.example.com"
	china := v1alpha1.Destination{Region: "cn-north-1"}
	keyed := everything()
	keyed.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: "arn:aws:kms:eu-west-1:123456789012:key/1234"}
	for _, d := range []*v1alpha1.Destination{&full, &plain, &observed, &china, &keyed} {
		d.Bucket = "audit"
	}
	tenant, organization := of("shop.audit", "shop/audit"), of("all", "")
	organization.Layout.Organization = "o-0123456789"
	had := &v1alpha1.BucketStatus{ExpireAfterDays: 3}
	for name, p := range map[string]Policy{
		"writer-of-everything":    PolicyOf(full, tenant, nil, Access{Writer: writerARN}),
		"writer-of-little":        PolicyOf(plain, tenant, nil, Access{Writer: "trail-writer"}),
		"writer-had-rules":        PolicyOf(plain, tenant, had, Access{Writer: writerARN}),
		"writer-observes":         PolicyOf(observed, organization, nil, Access{Writer: writerARN}),
		"readers-of-organization": PolicyOf(full, organization, nil, Access{Readers: []string{readerARN, "arn:aws:iam::210987654321:root", readerARN}}),
		"cloudtrail":              PolicyOf(full, tenant, nil, Access{Writer: writerARN, CloudTrail: true}),
		"china":                   PolicyOf(china, tenant, nil, Access{Readers: []string{"arn:aws-cn:iam::123456789012:user/auditor"}}),
		"identity-writer":         WriterPolicy(keyed, tenant, nil),
		"identity-reader":         ReaderPolicy(keyed, tenant),
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".json", p.JSON())
			seen := map[string]bool{}
			for _, s := range p.Statement {
				if seen[s.Sid] || strings.Trim(s.Sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
					t.Errorf("the Sid %q", s.Sid)
				}
				seen[s.Sid] = true
				for _, a := range s.Action {
					if a == "" || strings.Contains(a, "Delete") || strings.Contains(a, "Bypass") || s.Effect == allow && strings.Contains(a, "*") {
						t.Errorf("%s allows %q", s.Sid, a)
					}
				}
			}
		})
	}
}

// TestPolicyStaysInPlace: whatever a trail asks for, its writer and its readers
// get nothing outside of its place, and nobody gets anything to delete.
func TestPolicyStaysInPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lifecycle(t)
		d := v1alpha1.Destination{Bucket: "audit", Lifecycle: &l}
		if rapid.Bool().Draw(t, "lock") {
			d.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 1}
		}
		tr := of("shop.audit", rapid.SampledFrom([]string{"", "a", "a/b"}).Draw(t, "prefix"))
		place := "arn:aws:s3:::audit/" + tr.places().root
		for _, s := range PolicyOf(d, tr, nil, Access{Writer: writerARN, Readers: []string{readerARN}}).Statement {
			for _, r := range s.Resource {
				if r == "arn:aws:s3:::audit" {
					if slices.Contains(s.Action, "s3:ListBucket") && s.Condition["StringLike"]["s3:prefix"][0] != tr.places().root+"*" {
						t.Errorf("%+v lists more than the place", s)
					}
				} else if !strings.HasPrefix(r, place) {
					t.Errorf("%+v is about %s", s, r)
				}
			}
		}
	})
}

// foreignPolicy has what others write: one value for a list, elements that are not
// known here, and an ID.
const foreignPolicy = `{"Version":"2008-10-17","Id":"theirs","Statement":[
  {"Sid":"Theirs","Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::1:root"},"Action":"s3:*","Resource":"arn:aws:s3:::audit/x","Unknown":[{"a":1.50}]},
  {"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":"arn:aws:s3:::audit/public/*"}]}`

func TestMerge(t *testing.T) {
	mine := PolicyOf(v1alpha1.Destination{Bucket: "audit"}, of("shop.audit", "a"), nil, Access{Writer: writerARN})
	other := PolicyOf(v1alpha1.Destination{Bucket: "audit"}, of("shop.other", "b"), nil, Access{Writer: writerARN})
	first, others, err := Merge(foreignPolicy, mine)
	if err != nil || others != 2 {
		t.Fatalf("%d others, %v", others, err)
	}
	second, others, err := Merge(first, other)
	if err != nil || others != 2+len(mine.Statement) {
		t.Fatalf("%d others, %v", others, err)
	}
	changed := PolicyOf(v1alpha1.Destination{Bucket: "audit"}, of("shop.audit", "a"), nil, Access{Writer: readerARN})
	third, others, err := Merge(second, changed)
	if err != nil || others != 2+len(other.Statement) {
		t.Fatalf("%d others, %v", others, err)
	}
	golden(t, "merged.json", indent(t, third))
	again, _, err := Merge(third, changed)
	if err != nil || !SamePolicy(third, again) || !SamePolicy(again, third) {
		t.Errorf("merging again changes it: %v", err)
	}
	if SamePolicy(second, third) {
		t.Error("another writer makes no difference")
	}
	alone, others, err := Merge("", mine)
	if err != nil || others != 0 || !SamePolicy(alone, mine.JSON()) {
		t.Errorf("without a policy: %s, %v", alone, err)
	}
	if one, others, err := Merge(`{"Statement":{"Sid":"x"}}`, mine); err != nil || others != 1 || !strings.Contains(one, policyVersion) {
		t.Errorf("one statement without a list: %s, %d, %v", one, others, err)
	}
}

func indent(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func TestMergeRefuses(t *testing.T) {
	mine := PolicyOf(v1alpha1.Destination{Bucket: "audit"}, of("shop.audit", "a"), nil, Access{Writer: writerARN})
	full := fmt.Sprintf(`{"Statement":[{"Sid":"theirs","Resource":%q}]}`, strings.Repeat("x", objectstore.MaxPolicySize-100))
	for name, policy := range map[string]string{
		"no JSON": "<Policy/>", "a list": "[]", "null": "null", "statements of another kind": `{"Statement":"x"}`,
		"a statement of another kind": `{"Statement":["x"]}`, "no statement": `{"Statement":[null]}`, "full": full,
	} {
		if merged, _, err := Merge(policy, mine); err == nil || merged != "" || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: got %q, %v", name, merged, err)
		}
	}
}

func TestCheckMerged(t *testing.T) {
	const want = `{"Version":"2012-10-17","Statement":[{"Sid":"a","Principal":"*","Action":["s3:GetObject","s3:PutObject"],"Resource":["r"]},{"Sid":"b"}]}`
	for name, tc := range map[string]struct {
		got  string
		want error
	}{
		"the same":           {want, nil},
		"another form":       {`{"Statement":[{"Sid":"b"},{"Resource":"r","Action":["s3:PutObject","s3:GetObject"],"Principal":{"AWS":["*"]},"Sid":"a"}],"Version":"2012-10-17"}`, nil},
		"more than was":      {`{"Statement":[{"Sid":"b"},{"Sid":"c"},{"Resource":"r","Action":["s3:PutObject","s3:GetObject"],"Principal":{"AWS":"*"},"Sid":"a"}]}`, nil},
		"one is gone":        {`{"Statement":[{"Sid":"b"}]}`, ErrPolicyLost},
		"all are gone":       {``, ErrPolicyLost},
		"one is another":     {`{"Statement":[{"Sid":"b"},{"Sid":"a"}]}`, ErrPolicyNotKept},
		"one value is lost":  {`{"Statement":[{"Sid":"b"},{"Resource":"r","Action":"s3:PutObject","Principal":"*","Sid":"a"}]}`, ErrPolicyNotKept},
		"it is no policy":    {`[]`, ErrPolicyNotKept},
		"one stands for two": {`{"Statement":[{"Sid":"b"},{"Sid":"b"}]}`, ErrPolicyNotKept},
	} {
		if err := CheckMerged(want, tc.got); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzMerge: whatever stands in a bucket, it is refused or kept.
func FuzzMerge(f *testing.F) {
	mine := PolicyOf(v1alpha1.Destination{Bucket: "audit"}, of("shop.audit", "a"), nil, Access{Writer: writerARN})
	for _, seed := range []string{"", foreignPolicy, mine.JSON(), `{"Statement":{}}`, `{"Statement":[{"Sid":1}]}`, `{"statement":[{}]}`, "[[[["} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, policy string) {
		merged, others, err := Merge(policy, mine)
		if err != nil {
			return
		}
		before, _ := parsePolicy(policy)
		after, err := parsePolicy(merged)
		if err != nil || len(after.statements) != others+len(mine.Statement) {
			t.Fatalf("%d statements, %d of others: %v", len(after.statements), others, err)
		}
		for _, s := range before.statements {
			same := func(o json.RawMessage) bool { return canonicalJSON(s) == canonicalJSON(o) }
			if !mine.has(sidOf(s)) && !slices.ContainsFunc(after.statements, same) {
				t.Errorf("the statement %s is gone", s)
			}
		}
		if again, _, err := Merge(merged, mine); err != nil || !SamePolicy(merged, again) {
			t.Errorf("merging again: %q, %v", again, err)
		}
	})
}
