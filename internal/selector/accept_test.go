package selector_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/selector"
)

var update = flag.Bool("update", false, "rewrite the files under testdata")

// acceptFile holds selections and whether they are valid. Validate and the
// schema of the custom resource definition must both agree with it. A null
// selection is a trail that does not set any.
const acceptFile = "testdata/accept.json"

type acceptCase struct {
	Name      string          `json:"name"`
	Selection json.RawMessage `json:"selection"`
	Valid     bool            `json:"valid"`
}

const category = `{"field":"eventCategory","equals":["Management"]}`

// acceptCases is the source of acceptFile, which is generated because the
// limits make it long.
func acceptCases() []acceptCase {
	var cases []acceptCase
	add := func(valid bool, name, format string, args ...any) {
		cases = append(cases, acceptCase{name, json.RawMessage(fmt.Sprintf(format, args...)), valid})
	}
	addBasic := func(valid bool, name, format string, args ...any) {
		add(valid, "basic: "+name, `{"basic":[`+format+`]}`, args...)
	}
	addField := func(valid bool, name, format string, args ...any) {
		add(valid, "field: "+name, `{"advanced":[{"fieldSelectors":[`+category+`,`+format+`]}]}`, args...)
	}
	addSelector := func(valid bool, name, format string, args ...any) {
		add(valid, "advanced: "+name, `{"advanced":[`+format+`]}`, args...)
	}

	add(true, "not set", `null`)
	add(false, "both forms", `{"basic":[{}],"advanced":[{"fieldSelectors":[%s]}]}`, category)
	add(false, "basic is empty", `{"basic":[]}`)
	add(false, "advanced is empty", `{"advanced":[]}`)
	add(true, "five basic selectors", `{"basic":[%s]}`, list(5, "{}"))
	add(false, "six basic selectors", `{"basic":[%s]}`, list(6, "{}"))
	add(true, "twenty advanced selectors", `{"advanced":[%s]}`, list(20, `{"fieldSelectors":[`+category+`]}`))
	add(false, "twenty-one advanced selectors", `{"advanced":[%s]}`, list(21, `{"fieldSelectors":[`+category+`]}`))

	addBasic(true, "defaults", `{}`)
	addBasic(true, "everything set", `{"readWriteType":"WriteOnly","includeManagementEvents":true,`+
		`"excludeManagementEventSources":["coordination.k8s.io"],`+
		`"dataResources":[{"type":"AWS::S3::Object","values":["arn:aws:s3:::bucket/"]}]}`)
	addBasic(true, "selects nothing", `{"includeManagementEvents":false}`)
	addBasic(true, "All", `{"readWriteType":"All"}`)
	addBasic(true, "ReadOnly", `{"readWriteType":"ReadOnly"}`)
	addBasic(false, "unknown readWriteType", `{"readWriteType":"readonly"}`)
	addBasic(true, "no excluded source", `{"excludeManagementEventSources":[]}`)
	addBasic(true, "fifty excluded sources", `{"excludeManagementEventSources":[%s]}`, distinct(50))
	addBasic(false, "fifty-one excluded sources", `{"excludeManagementEventSources":[%s]}`, distinct(51))
	addBasic(false, "excluded source twice", `{"excludeManagementEventSources":["apps.k8s.io","apps.k8s.io"]}`)
	addBasic(false, "empty excluded source", `{"excludeManagementEventSources":[""]}`)
	addBasic(true, "longest excluded source", `{"excludeManagementEventSources":[%q]}`, strings.Repeat("a", 253))
	addBasic(false, "excluded source too long", `{"excludeManagementEventSources":[%q]}`, strings.Repeat("a", 254))

	resource := func(kind, values string) string {
		return fmt.Sprintf(`{"dataResources":[{"type":%q,"values":[%s]}]}`, kind, values)
	}
	addBasic(true, "no data resource", `{"dataResources":[]}`)
	addBasic(true, "fifty data resources", `{"dataResources":[%s]}`, list(50, `{"type":"AWS::S3::Object","values":["a"]}`))
	addBasic(false, "fifty-one data resources", `{"dataResources":[%s]}`, list(51, `{"type":"AWS::S3::Object","values":["a"]}`))
	for _, kind := range []string{
		"AWS::S3::Object", "AWS::Lambda::Function", "AWS::DynamoDB::Table",
		"K8S::core::Pod", "K8S::networking.k8s.io::NetworkPolicy", "K8S::g::" + strings.Repeat("K", 312),
	} {
		addBasic(true, "data resource type "+abridged(kind), "%s", resource(kind, `"arn"`))
	}
	for _, kind := range []string{
		"", "AWS::S3::Bucket", "K8S::core", "K8S::core::", "K8S::::Pod", "K8S::Core::Pod", "K8S::core::Pod::Log", " AWS::S3::Object",
		"AWS::S3::Object\n", "K8S::core::Pöd", "K8S::g::" + strings.Repeat("K", 313),
	} {
		addBasic(false, "data resource type "+abridged(kind), "%s", resource(kind, `"arn"`))
	}
	addBasic(false, "data resource without a type", `{"dataResources":[{"values":["arn"]}]}`)
	addBasic(false, "data resource without values", `{"dataResources":[{"type":"AWS::S3::Object"}]}`)
	addBasic(false, "data resource with no values", "%s", resource("AWS::S3::Object", ``))
	addBasic(false, "data resource with an empty value", "%s", resource("AWS::S3::Object", `""`))
	addBasic(false, "data resource with a value twice", "%s", resource("AWS::S3::Object", `"a","b","a"`))
	addBasic(true, "250 values", "%s", resource("AWS::S3::Object", distinct(250)))
	addBasic(false, "251 values", "%s", resource("AWS::S3::Object", distinct(251)))
	addBasic(true, "longest value, counted in characters", "%s", resource("AWS::S3::Object", `"`+strings.Repeat("ä", 2048)+`"`))
	addBasic(false, "value too long", "%s", resource("AWS::S3::Object", `"`+strings.Repeat("a", 2049)+`"`))

	addSelector(true, "only the category", `{"fieldSelectors":[`+category+`]}`)
	addSelector(true, "data", `{"name":"downloads","fieldSelectors":[{"field":"eventCategory","equals":["Data"]}]}`)
	addSelector(false, "without field selectors", `{"name":"x"}`)
	addSelector(false, "no field selectors", `{"fieldSelectors":[]}`)
	addSelector(false, "no category", `{"fieldSelectors":[{"field":"readOnly","equals":["true"]}]}`)
	addSelector(false, "category twice", `{"fieldSelectors":[`+category+`,{"field":"eventCategory","equals":["Data"]}]}`)
	addSelector(false, "both categories", `{"fieldSelectors":[{"field":"eventCategory","equals":["Management","Data"]}]}`)
	addSelector(false, "category of insights", `{"fieldSelectors":[{"field":"eventCategory","equals":["Insight"]}]}`)
	addSelector(false, "category by prefix", `{"fieldSelectors":[{"field":"eventCategory","startsWith":["Data"]}]}`)
	addSelector(false, "category negated too", `{"fieldSelectors":[{"field":"eventCategory","equals":["Data"],"notEquals":["Management"]}]}`)
	addSelector(false, "category without an operator", `{"fieldSelectors":[{"field":"eventCategory"}]}`)
	addSelector(true, "longest name", `{"name":%q,"fieldSelectors":[%s]}`, strings.Repeat("n", 1000), category)
	addSelector(false, "name too long", `{"name":%q,"fieldSelectors":[%s]}`, strings.Repeat("n", 1001), category)
	addSelector(true, "every field", `{"fieldSelectors":[`+category+`,{"field":"readOnly","equals":["false"]},`+
		`{"field":"eventName","startsWith":["Delete"]},{"field":"eventSource","notEquals":["apps.k8s.io"]},`+
		`{"field":"eventType","equals":["AwsApiCall"]},{"field":"resources.type","equals":["K8S::core::Pod"]},`+
		`{"field":"resources.ARN","endsWith":["/web"]},{"field":"userIdentity.arn","notStartsWith":["arn:k8s:iam"]}]}`)
	addSelector(false, "a field twice", `{"fieldSelectors":[`+category+
		`,{"field":"eventName","equals":["GetPod"]},{"field":"eventName","equals":["ListPods"]}]}`)

	for _, field := range []string{"eventName", "eventSource", "eventType", "resources.ARN", "userIdentity.arn"} {
		for _, op := range []string{"equals", "startsWith", "endsWith", "notEquals", "notStartsWith", "notEndsWith"} {
			addField(true, field+" "+op, `{"field":%q,%q:["x","y"]}`, field, op)
			addField(false, field+" with nothing in "+op, `{"field":%q,%q:[]}`, field, op)
		}
		addField(true, field+" with two operators", `{"field":%q,"startsWith":["x"],"notEquals":["xy"]}`, field)
		addField(false, field+" without an operator", `{"field":%q}`, field)
	}
	for _, field := range []string{"readOnly", "resources.type"} {
		for _, op := range []string{"startsWith", "endsWith", "notEquals", "notStartsWith", "notEndsWith"} {
			addField(false, field+" "+op, `{"field":%q,%q:["true"]}`, field, op)
			addField(false, field+" equals and "+op, `{"field":%q,"equals":["true"],%q:["false"]}`, field, op)
		}
	}
	addField(true, "readOnly equals true", `{"field":"readOnly","equals":["true"]}`)
	addField(false, "readOnly equals True", `{"field":"readOnly","equals":["True"]}`)
	addField(false, "readOnly equals both", `{"field":"readOnly","equals":["true","false"]}`)
	addField(true, "two resource types", `{"field":"resources.type","equals":["K8S::core::Pod","AWS::S3::Object"]}`)
	addField(false, "unknown field", `{"field":"errorCode","equals":["AccessDenied"]}`)
	addField(false, "field in the wrong case", `{"field":"EventName","equals":["GetPod"]}`)
	addField(false, "no field", `{"equals":["GetPod"]}`)
	addField(false, "empty value", `{"field":"eventName","equals":[""]}`)
	addField(false, "value twice", `{"field":"eventName","equals":["a","a"]}`)
	addField(true, "value in two operators", `{"field":"eventName","equals":["a"],"notEquals":["a"]}`)
	addField(true, "a hundred values", `{"field":"eventName","equals":[%s]}`, distinct(100))
	addField(false, "a hundred and one values", `{"field":"eventName","notEndsWith":[%s]}`, distinct(101))
	addField(true, "longest value", `{"field":"eventName","equals":[%q]}`, strings.Repeat("a", 2048))
	addField(false, "value too long", `{"field":"eventName","equals":[%q]}`, strings.Repeat("a", 2049))
	return cases
}

func list(n int, element string) string {
	return strings.TrimSuffix(strings.Repeat(element+",", n), ",")
}

func distinct(n int) string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf(`"v%d"`, i)
	}
	return strings.Join(values, ",")
}

func abridged(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q… of %d characters", s[:20], len(s))
	}
	return fmt.Sprintf("%q", s)
}

func TestAcceptFileIsCurrent(t *testing.T) {
	var want bytes.Buffer
	want.WriteString("[\n")
	for i, c := range acceptCases() {
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if i > 0 {
			want.WriteString(",\n")
		}
		want.Write(line)
	}
	want.WriteString("\n]\n")
	if *update {
		if err := os.WriteFile(acceptFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(acceptFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is not what acceptCases makes; run the test with -update (-want +got):\n%s", acceptFile, diff)
	}
}

func TestValidateAccepts(t *testing.T) {
	data, err := os.ReadFile(acceptFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []acceptCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			if names[tc.Name] {
				t.Fatal("two cases have this name")
			}
			names[tc.Name] = true
			var sel v1alpha1.EventSelection
			if err := json.Unmarshal(tc.Selection, &sel); err != nil {
				t.Fatal(err)
			}
			err := selector.Validate(sel)
			if (err == nil) != tc.Valid {
				t.Fatalf("valid: want %v, got error %v", tc.Valid, err)
			}
			if s, err := selector.Compile(sel, ""); tc.Valid && err != nil || (s == nil) != (err != nil) {
				t.Errorf("a valid selection compiles, and a selector is returned exactly without an error; got %v and %v", s, err)
			}
			if err != nil && (!strings.HasSuffix(err.Error(), ".") || len(err.Error()) > 300) {
				t.Errorf("the error should be a short sentence: %q", err)
			}
		})
	}
}
