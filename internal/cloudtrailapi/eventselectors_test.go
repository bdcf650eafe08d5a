package cloudtrailapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	awscloudtrail "github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/selector"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEventSelectorsGolden: what AWS takes and prints becomes the EventSelector
// beside it, and that becomes what AWS takes and prints, to the byte.
func TestEventSelectorsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/eventselectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, err := ParseEventSelectors(raw)
			if err != nil {
				t.Fatal(err)
			}
			sel, err := FromCloudTrail(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(sel)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".json") + ".yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s (-want +got):\n%s", golden, d)
			}
			back := ToCloudTrail(sel)
			back.TrailName, back.TrailARN = in.TrailName, in.TrailARN
			b, err := json.Marshal(back)
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(compact.String(), string(b)); d != "" {
				t.Errorf("the way back (-want +got):\n%s", d)
			}
		})
	}
}

// TestNamesAreThoseOfAWS compares our fields with those of the AWS SDK.
func TestNamesAreThoseOfAWS(t *testing.T) {
	names := func(v any) map[string]bool {
		set := map[string]bool{}
		for f := range reflect.TypeOf(v).Fields() {
			if f.IsExported() && f.Name != "ResultMetadata" {
				set[f.Name] = true
			}
		}
		return set
	}
	for _, pair := range [][2]any{
		{types.EventSelector{}, EventSelector{}},
		{types.DataResource{}, DataResource{}},
		{types.AdvancedEventSelector{}, AdvancedEventSelector{}},
		{types.AdvancedFieldSelector{}, FieldSelector{}},
	} {
		if d := cmp.Diff(names(pair[0]), names(pair[1])); d != "" {
			t.Errorf("%T: %s", pair[1], d)
		}
	}
	ours := names(EventSelectors{})
	for _, theirs := range []any{awscloudtrail.PutEventSelectorsInput{}, awscloudtrail.GetEventSelectorsOutput{}} {
		for name := range names(theirs) {
			if !ours[name] {
				t.Errorf("%T has %s", theirs, name)
			}
		}
	}
}

var word = rapid.StringMatching(`[a-zA-Z:/ä*."<]{1,8}`)

func drawWords(t *rapid.T, label string, least int) []string {
	list := rapid.SliceOfNDistinct(word, least, 4, rapid.ID).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

func drawSelection(t *rapid.T) v1alpha1.EventSelection {
	if rapid.Bool().Draw(t, "advanced") {
		return v1alpha1.EventSelection{Advanced: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) v1alpha1.AdvancedEventSelector {
			a := v1alpha1.AdvancedEventSelector{Name: rapid.StringN(0, 20, 200).Draw(t, "name"), FieldSelectors: []v1alpha1.FieldSelector{
				{Field: v1alpha1.FieldEventCategory, Equals: []string{rapid.SampledFrom([]string{"Management", "Data"}).Draw(t, "category")}},
			}}
			for _, field := range []v1alpha1.Field{v1alpha1.FieldEventName, v1alpha1.FieldResourcesARN, v1alpha1.FieldUserIdentityARN} {
				if rapid.Bool().Draw(t, "field") {
					a.FieldSelectors = append(a.FieldSelectors, v1alpha1.FieldSelector{
						Field: field, Equals: drawWords(t, "=", 0), StartsWith: drawWords(t, "^", 0), EndsWith: drawWords(t, "$", 0),
						NotEquals: drawWords(t, "!=", 1), NotStartsWith: drawWords(t, "!^", 0), NotEndsWith: drawWords(t, "!$", 0),
					})
				}
			}
			return a
		}), 1, 5).Draw(t, "selectors")}
	}
	return v1alpha1.EventSelection{Basic: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) v1alpha1.BasicEventSelector {
		b := v1alpha1.BasicEventSelector{
			ReadWriteType:                 rapid.SampledFrom([]v1alpha1.ReadWriteType{"", "All", "ReadOnly", "WriteOnly"}).Draw(t, "readWriteType"),
			IncludeManagementEvents:       rapid.Ptr(rapid.Bool(), true).Draw(t, "include"),
			ExcludeManagementEventSources: drawWords(t, "excluded", 0),
		}
		for range rapid.IntRange(0, 3).Draw(t, "resources") {
			b.DataResources = append(b.DataResources, v1alpha1.DataResource{
				Type: rapid.SampledFrom([]string{"AWS::S3::Object", "K8S::core::Pod"}).Draw(t, "type"), Values: drawWords(t, "values", 1),
			})
		}
		return b
	}), 1, 5).Draw(t, "selectors")}
}

// withoutDefaults is the terse form of a selection.
func withoutDefaults(sel v1alpha1.EventSelection) v1alpha1.EventSelection {
	sel = *sel.DeepCopy()
	for i := range sel.Basic {
		b := &sel.Basic[i]
		if b.ReadWriteType == v1alpha1.ReadWriteAll {
			b.ReadWriteType = ""
		}
		if b.IncludeManagementEvents != nil && *b.IncludeManagementEvents {
			b.IncludeManagementEvents = nil
		}
	}
	return sel
}

// TestEventSelectorsRoundTrip: through JSON and back nothing of a selection is
// lost, and nothing comes to it.
func TestEventSelectorsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sel := drawSelection(t)
		if err := selector.Validate(sel); err != nil {
			t.Fatalf("the test draws invalid selections: %v", err)
		}
		raw, err := json.Marshal(ToCloudTrail(sel))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ParseEventSelectors(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := FromCloudTrail(parsed)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(withoutDefaults(sel), got); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(parsed, ToCloudTrail(got)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestParseEventSelectors(t *testing.T) {
	const basic, advanced = `{"ReadWriteType":"ReadOnly"}`, `{"FieldSelectors":[{"Field":"eventCategory","Equals":["Data"]}]}`
	reads := v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.ReadOnly}}}
	data := v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
		{Field: v1alpha1.FieldEventCategory, Equals: []string{"Data"}},
	}}}}
	for text, want := range map[string]v1alpha1.EventSelection{
		`{"EventSelectors":[` + basic + `]}`: reads,
		" \n[" + basic + "] \n":              reads,
		`[` + advanced + `]`:                 data,
		`{"TrailARN":"a","AdvancedEventSelectors":[` + advanced + `],"EventSelectors":[]}`: data,
		// As it stands in the record of the call.
		`{"trailName":"t","eventSelectors":[{"readWriteType":"ReadOnly","includeManagementEvents":true,"dataResources":[]}]}`:           reads,
		`{"EventSelectors":[{"ReadWriteType":"ReadOnly","DataResources":null,"ExcludeManagementEventSources":null}]}`:                   reads,
		`{"AdvancedEventSelectors":[{"FieldSelectors":[{"Field":"eventCategory","Equals":["Data","Data"],"NotEquals":[]}],"Name":""}]}`: data,
	} {
		in, err := ParseEventSelectors([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := FromCloudTrail(in)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", text, err, d)
		}
	}
	for text, want := range map[string]string{
		``: "not the JSON of event selectors", `{`: "not the JSON", `null`: "exactly one", `{} {}`: "not the JSON", `7`: "not the JSON",
		`[7]`: "not the JSON", `[]`: "exactly one", `{}`: "exactly one",
		`{"EventSelectors":[` + basic + `],"AdvancedEventSelectors":[` + advanced + `]}`: "exactly one",
		`{"Selectors":[]}`: `no field "Selectors"`,
		`{"EventSelectors":[{"ReadWriteType":"Both"}]}`:                                                                                 "basic[0].readWriteType",
		`[{"FieldSelectors":[{"Field":"eventCategory","Equals":["NetworkActivity"]}]}]`:                                                 "must equal one of Management and Data",
		`[{"FieldSelectors":[{"Field":"eventCategory","Equals":["Data"]},{"Field":"sessionCredentialFromConsole","Equals":["true"]}]}]`: "The field must be one of",
		`[{"FieldSelectors":[{"Field":"eventCategory","Equals":["Data"]}]},{"ReadWriteType":"All"}]`:                                    `no field "ReadWriteType"`,
		strings.Repeat(" ", MaxEventSelectors+1):                                                                                        "more than 1048576 bytes",
	} {
		in, err := ParseEventSelectors([]byte(text))
		if err == nil {
			_, err = FromCloudTrail(in)
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.100s: got %v, want %q", text, err, want)
		}
	}
}

func TestGetEventSelectors(t *testing.T) {
	s := newSource(t)
	const operation = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.GetEventSelectors"
	for body, want := range map[string]string{
		`{"TrailName":"` + s.Name + `"}`: `{"TrailARN":"` + s.ARN() + `","EventSelectors":[{"ReadWriteType":"All","IncludeManagementEvents":true,"DataResources":[],"ExcludeManagementEventSources":[]}]}`,
		`{"TrailName":"arn:other"}`:      `{"TrailARN":"arn:other","AdvancedEventSelectors":[{"FieldSelectors":[{"Field":"eventCategory","Equals":["Management"]}]}]}`,
		`{"TrailName":"absent"}`:         `{"__type":"TrailNotFoundException","message":"There is no trail of this name."}`,
		`{}`:                             `{"__type":"InvalidTrailNameException","message":"TrailName must be the name or the ARN of a trail."}`,
		`{"TrailName":7}`:                `{"__type":"SerializationException","message":"The body is not the JSON of this operation."}`,
	} {
		w := request(t, s, http.MethodPost, "/", operation, body)
		if d := cmp.Diff(want, w.Body.String()); d != "" || (w.Code == http.StatusOK) == strings.Contains(want, "__type") {
			t.Errorf("%s: %d %s", body, w.Code, d)
		}
	}
	w := request(t, s, http.MethodPost, "/", "CloudTrail_20131101.DescribeTrails", "{}")
	var out struct {
		TrailList []struct{ HasCustomEventSelectors bool } `json:"trailList"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out.TrailList) != 2 || out.TrailList[0].HasCustomEventSelectors || !out.TrailList[1].HasCustomEventSelectors {
		t.Errorf("%v %s", err, w.Body)
	}
}

// FuzzParseEventSelectors: what is read becomes a selection that compiles, and
// goes both ways without a change, or an error of one line.
func FuzzParseEventSelectors(f *testing.F) {
	files, err := filepath.Glob("testdata/eventselectors/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`[{"FieldSelectors":[{"Field":"eventCategory","Equals":["Data","Data"]}]}]`))
	f.Add([]byte(`{"eventselectors":[{"DataResources":[{"Type":"K8S::a::B","Values":["\u2028"]}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := ParseEventSelectors(raw)
		var sel v1alpha1.EventSelection
		if err == nil {
			sel, err = FromCloudTrail(in)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
				t.Errorf("%q", err)
			}
			return
		}
		if _, err := selector.Compile(sel, ""); err != nil {
			t.Fatal(err)
		}
		again, err := FromCloudTrail(ToCloudTrail(sel))
		if d := cmp.Diff(sel, again); err != nil || d != "" {
			t.Fatal(err, d)
		}
	})
}

// otherSelection is that of the trail arn:other.
var otherSelection = v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
	{Field: v1alpha1.FieldEventCategory, Equals: []string{"Management"}},
}}}}
