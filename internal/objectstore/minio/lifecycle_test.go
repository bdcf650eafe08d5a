package minio_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
)

// settings is a server that keeps one document for each setting of a bucket.
type settings struct {
	documents map[string]string // by query
	headers   map[string]http.Header
	writes    int
	// afterWrite, if set, is what another writer does at once.
	afterWrite func(s *settings)
}

func (s *settings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(r.URL.RawQuery, "=")
	switch r.Method {
	case http.MethodGet:
		if s.documents[name] == "" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", map[string]string{
				"lifecycle": "NoSuchLifecycleConfiguration", "tagging": "NoSuchTagSet",
			}[name])
			return
		}
		for k, v := range s.headers[name] {
			w.Header()[k] = v
		}
		fmt.Fprint(w, s.documents[name])
		return
	case http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		s.documents[name] = string(body)
		s.headers[name] = http.Header{sizeHeader: r.Header[sizeHeader]}
	case http.MethodDelete:
		delete(s.documents, name)
	}
	s.writes++
	if s.afterWrite != nil {
		s.afterWrite(s)
	}
}

const sizeHeader = "X-Amz-Transition-Default-Minimum-Object-Size"

func managed(t *testing.T, h http.Handler) objectstore.Managed {
	t.Helper()
	b, err := minio.NewManaged(config(serve(t, h.ServeHTTP)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// foreign are rules with everything that S3 knows, and what it may learn.
const foreign = `<Rule><ID>theirs</ID><Filter><And><Prefix>a &amp; b/</Prefix><Tag><Key>k</Key><Value>  v </Value></Tag>` +
	`<ObjectSizeGreaterThan>500</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status>` +
	`<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>` +
	`<Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>` +
	`<NoncurrentVersionTransition><NoncurrentDays>5</NoncurrentDays><StorageClass>GLACIER</StorageClass><NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionTransition>` +
	`<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>` +
	`<Invention days="3"><Depth><Of>it</Of></Depth></Invention></Rule>`

const ours = `<Rule><ID>trail/1</ID><Filter><Prefix>p/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>`

func document(rules string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + rules + `</LifecycleConfiguration>`
}

func TestForeignRulesSurvive(t *testing.T) {
	rule := objectstore.LifecycleRule{ID: "trail/1", Prefix: "p/", Enabled: true, ExpireDays: 30, TransitionDays: 3, StorageClass: "GLACIER"}
	encoded := `<Rule><ID>trail/1</ID><Filter><Prefix>p/</Prefix></Filter><Status>Enabled</Status><Transition><Days>3</Days><StorageClass>GLACIER</StorageClass></Transition>` +
		`<Expiration><Days>30</Days></Expiration></Rule>`
	oldForm := strings.Replace(encoded, "<Filter><Prefix>p/</Prefix></Filter>", "<Prefix>p/</Prefix>", 1)
	old := `<Rule><ID>old</ID><Prefix>x/</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>`
	for name, tc := range map[string]struct {
		before string
		rules  []objectstore.LifecycleRule
		want   string
		writes int
	}{
		"beside ours":           {document(foreign), []objectstore.LifecycleRule{rule}, foreign + encoded, 1},
		"ours are replaced":     {document(ours + foreign), []objectstore.LifecycleRule{rule}, foreign + encoded, 1},
		"ours are removed":      {document(foreign + ours), nil, foreign, 1},
		"nothing changes":       {document(encoded + foreign), []objectstore.LifecycleRule{rule}, "", 0},
		"ours are the last":     {document(ours), nil, "", 1},
		"there are none":        {"", nil, "", 0},
		"of the old form":       {document(old), []objectstore.LifecycleRule{rule}, old + oldForm, 1},
		"without an ID":         {document(strings.Replace(old, "<ID>old</ID>", "", 1)), nil, "", 0},
		"indented, with a note": {document("\n  <!-- x -->" + strings.ReplaceAll(old, "><", ">\n <")), []objectstore.LifecycleRule{rule}, old + oldForm, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := &settings{
				documents: map[string]string{"lifecycle": tc.before},
				headers:   map[string]http.Header{"lifecycle": {sizeHeader: {"varies_by_storage_class"}}},
			}
			b := managed(t, server)
			if err := b.SetLifecycle(t.Context(), "trail/", tc.rules); err != nil {
				t.Fatal(err)
			}
			if server.writes != tc.writes {
				t.Errorf("want %d writes, got %d", tc.writes, server.writes)
			}
			if tc.writes == 0 {
				return
			}
			want := ""
			if tc.want != "" {
				want = strings.TrimPrefix(document(tc.want), `<?xml version="1.0" encoding="UTF-8"?>`+"\n")
				if got := server.headers["lifecycle"].Get(sizeHeader); got != "varies_by_storage_class" {
					t.Errorf("the minimum size became %q", got)
				}
			}
			if diff := cmp.Diff(want, server.documents["lifecycle"]); diff != "" {
				t.Errorf("lifecycle (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLifecycleShowsForeignRules(t *testing.T) {
	server := &settings{documents: map[string]string{"lifecycle": document(foreign + ours)}}
	got, err := managed(t, server).Lifecycle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []objectstore.LifecycleRule{
		{ID: "theirs", Prefix: "a & b/", Enabled: true, TransitionDays: 30, StorageClass: "STANDARD_IA", Partial: true},
		{ID: "trail/1", Prefix: "p/", Enabled: true, ExpireDays: 9},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConcurrentLifecycle: two writers cannot both win, and the one who lost is
// told so.
func TestConcurrentLifecycle(t *testing.T) {
	rule := objectstore.LifecycleRule{ID: "trail/1", Prefix: "p/", Enabled: true, ExpireDays: 9, AbortMultipartDays: 1}
	for name, tc := range map[string]struct {
		after func(document string) string
		want  error
	}{
		"nobody":                          {func(s string) string { return s }, nil},
		"another writes his own only":     {func(string) string { return document(foreign) }, objectstore.ErrChanged},
		"another adds a rule":             {func(s string) string { return strings.Replace(s, "<Rule>", "<Rule><ID>new</ID></Rule><Rule>", 1) }, objectstore.ErrChanged},
		"another removes his rule":        {func(string) string { return document(ours) }, objectstore.ErrChanged},
		"all is gone":                     {func(string) string { return "" }, objectstore.ErrChanged},
		"a server that drops what is new": {func(string) string { return document(foreign + ours) }, objectstore.ErrNotKept},
	} {
		t.Run(name, func(t *testing.T) {
			server := &settings{documents: map[string]string{"lifecycle": document(foreign)}, headers: map[string]http.Header{}}
			server.afterWrite = func(s *settings) { s.documents["lifecycle"] = tc.after(s.documents["lifecycle"]) }
			err := managed(t, server).SetLifecycle(t.Context(), "trail/", []objectstore.LifecycleRule{rule})
			if !errors.Is(err, tc.want) || (tc.want == nil) != (err == nil) {
				t.Errorf("want %v, got %v", tc.want, err)
			}
		})
	}
}

func TestConcurrentTags(t *testing.T) {
	server := &settings{documents: map[string]string{}, headers: map[string]http.Header{}}
	server.afterWrite = func(s *settings) {
		s.documents["tagging"] = "<Tagging><TagSet><Tag><Key>other</Key><Value>v</Value></Tag></TagSet></Tagging>"
	}
	if err := managed(t, server).SetTags(t.Context(), map[string]string{"a": "b"}, nil); !errors.Is(err, objectstore.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// TestHostileSettings: whatever a server answers, it is bounded and not quoted.
func TestHostileSettings(t *testing.T) {
	deep := strings.Repeat("<Rule>", 10_000)
	for name, answer := range map[string]string{
		"nothing":         "",
		"not XML":         secret,
		"deep":            "<LifecycleConfiguration>" + deep,
		"deep and closed": "<LifecycleConfiguration>" + strings.Repeat("<Rule>", 100) + strings.Repeat("</Rule>", 100) + "</LifecycleConfiguration>",
		"many rules":      document(strings.Repeat("<Rule></Rule>", 1001)),
		"another root":    "<" + secret + "/>",
		"text between":    document("<Rule>" + secret + "<ID>x</ID></Rule>"),
		"two documents":   document(ours) + document(ours),
		"cut":             document(ours)[:150],
		"large":           document(strings.Repeat(" ", 5<<20)),
		"a foreign name":  document(`<Rule xmlns:x="urn:x"><ID x:a="1">` + secret + `</ID></Rule>`),
		"entities":        `<!DOCTYPE x [<!ENTITY a "` + secret + `">]><LifecycleConfiguration><Rule><ID>&a;</ID></Rule></LifecycleConfiguration>`,
		"many tags":       "<Tagging><TagSet>" + strings.Repeat("<Tag><Key>a</Key></Tag>", 51) + "</TagSet></Tagging>",
		"a wrong mode":    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>" + secret + "</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
		"negative days":   "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>-1</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
		"a wrong cipher":  "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>" + secret + "</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
		"a wrong key":     "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>\n" + secret + "</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
		"a wrong state":   "<VersioningConfiguration><Status>" + secret + "</Status></VersioningConfiguration>",
		"a long policy":   `"` + strings.Repeat("x", objectstore.MaxPolicySize) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			b, ctx := managed(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })), t.Context()
			_, e1 := b.Lifecycle(ctx)
			_, e2 := b.Tags(ctx)
			_, e3 := b.ObjectLock(ctx)
			_, e4 := b.DefaultEncryption(ctx)
			_, e5 := b.Versioning(ctx)
			_, e6 := b.Policy(ctx)
			for i, err := range []error{e1, e2, e3, e4, e5, e6} {
				var e *objectstore.Error
				switch {
				case err == nil && (i != 5 || name != "nothing"):
					t.Errorf("setting %d: want an error", i)
				case err != nil && (!errors.As(err, &e) || strings.Contains(err.Error(), secret)):
					t.Errorf("setting %d: got %v", i, err)
				}
			}
		})
	}
}

// TestServersWithoutSettings: there are servers that answer such a question
// with the list of the bucket, and take a change for a new bucket. None of them
// is told to delete anything: that would be the bucket.
func TestServersWithoutSettings(t *testing.T) {
	b := managed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name></ListBucketResult>`)
		case http.MethodPut:
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, "<Error><Code>BucketAlreadyOwnedByYou</Code></Error>")
		default:
			t.Errorf("got a %s", r.Method)
		}
	}))
	ctx := t.Context()
	_, e1 := b.Lifecycle(ctx)
	_, e2 := b.Policy(ctx)
	_, e3 := b.Versioning(ctx)
	for i, err := range []error{
		e1, e2, e3, b.SetVersioning(ctx, objectstore.VersioningEnabled), b.SetLifecycle(ctx, "o", nil), b.SetPolicy(ctx, ""), b.SetPolicy(ctx, "{}"),
		b.SetTags(ctx, nil, []string{"a"}), b.SetDefaultEncryption(ctx, objectstore.DefaultEncryption{}),
		b.SetDefaultRetention(ctx, objectstore.DefaultRetention{}),
	} {
		if !errors.Is(err, objectstore.ErrNotImplemented) {
			t.Errorf("call %d: got %v", i, err)
		}
	}
}

func FuzzLifecycle(f *testing.F) {
	f.Add(document(foreign + ours))
	f.Add("<LifecycleConfiguration><Rule><Rule></Rule></Rule></LifecycleConfiguration>")
	f.Fuzz(func(t *testing.T, text string) {
		again, ok := minio.Reencode([]byte(text))
		if !ok {
			return
		}
		if xml.Unmarshal(again, new(struct{ XMLName xml.Name })) != nil {
			t.Fatalf("%q became %q, which is no XML", text, again)
		}
		if twice, ok := minio.Reencode(again); !ok || string(twice) != string(again) {
			t.Fatalf("%q, then %q", again, twice)
		}
	})
}
