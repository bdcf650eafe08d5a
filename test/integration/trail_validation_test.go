package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const validTrail = `
apiVersion: trail-operator.io/v1alpha1
kind: Trail
metadata: {name: audit, namespace: default}
spec:
  destination:
    bucket: team-a-audit
    credentialsSecretRef: {name: bucket}
`

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// with sets a field of the valid trail; a nil value removes it.
func with(t *testing.T, value any, path ...string) *unstructured.Unstructured {
	t.Helper()
	o := parse(t, validTrail)
	if value == nil {
		unstructured.RemoveNestedField(o.Object, path...)
		return o
	}
	b, err := json.Marshal(value) // what unstructured objects are made of
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	if f, ok := plain.(float64); ok {
		plain = int64(f)
	}
	if err := unstructured.SetNestedField(o.Object, plain, path...); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTrailIsRefused(t *testing.T) {
	const (
		name       = "The name of a Trail must be at most 63 lower-case letters, digits and single hyphens"
		endpoint   = "The endpoint must be http:// or https:// with a host and an optional port, without a path"
		bucket     = "The bucket must be a bucket name: lower-case letters, digits, hyphens and single dots"
		region     = "The region must be lower-case letters, digits and single hyphens"
		prefix     = "The prefix must be path elements of letters, digits and . _ = -"
		awsLogs    = "The prefix must not contain the element AWSLogs"
		ca         = "The field ca must hold certificates in PEM, and no private key."
		secret     = "The name of the Secret must be lower-case letters, digits, hyphens and dots"
		dest       = "spec destination "
		exactlyOne = "Set exactly one of basic and advanced."
		onlyEquals = "The fields eventCategory, readOnly and resources.type take the operator equals only."
	)
	field := func(f ...any) map[string]any {
		m := map[string]any{"field": f[0]}
		for i := 1; i < len(f); i += 2 {
			m[f[i].(string)] = f[i+1]
		}
		return m
	}
	advanced := func(fields ...any) map[string]any {
		return map[string]any{"advanced": []any{map[string]any{"fieldSelectors": fields}}}
	}
	management := field("eventCategory", "equals", []string{"Management"})
	for caption, tc := range map[string]struct {
		path  string
		value any
		want  string // a sentence, or the field that the schema names
	}{
		"dot in the name":            {"metadata name", "a.b", name},
		"double hyphen in the name":  {"metadata name", "a--b", name},
		"long name":                  {"metadata name", strings.Repeat("a", 64), name},
		"no destination":             {"spec destination", nil, "spec.destination: Required value"},
		"no bucket":                  {dest + "bucket", nil, "spec.destination.bucket: Required value"},
		"short bucket":               {dest + "bucket", "ab", "spec.destination.bucket"},
		"upper-case bucket":          {dest + "bucket", "Audit", bucket},
		"bucket with two dots":       {dest + "bucket", "a..b", bucket},
		"bucket with a hyphen last":  {dest + "bucket", "audit-", bucket},
		"bucket with a slash":        {dest + "bucket", "audit/x", bucket},
		"empty Secret name":          {dest + "credentialsSecretRef name", "", "spec.destination.credentialsSecretRef.name"},
		"Secret of another":          {dest + "credentialsSecretRef name", "kube-system/x", secret},
		"endpoint without a scheme":  {dest + "endpoint", "s3.example.com", endpoint},
		"endpoint of another scheme": {dest + "endpoint", "ftp://s3.example.com", endpoint},
		"endpoint with a path":       {dest + "endpoint", "https://s3.example.com/x", endpoint},
		"endpoint with a query":      {dest + "endpoint", "https://s3.example.com?x", endpoint},
		"endpoint with a password":   {dest + "endpoint", "https://a:b@s3.example.com", endpoint},
		"empty endpoint":             {dest + "endpoint", "", "spec.destination.endpoint"},
		"region":                     {dest + "region", "eu_1", region},
		"prefix with a slash first":  {dest + "prefix", "/a", prefix},
		"prefix with a slash last":   {dest + "prefix", "a/", prefix},
		"prefix with two slashes":    {dest + "prefix", "a//b", prefix},
		"prefix that climbs":         {dest + "prefix", "a/../b", prefix},
		"prefix with a space":        {dest + "prefix", "a b", prefix},
		"prefix in another's tree":   {dest + "prefix", "a/AWSLogs/b", awsLogs},
		"long prefix":                {dest + "prefix", strings.Repeat("a", 201), "spec.destination.prefix"},
		"ca is no PEM":               {dest + "ca", "hello", ca},
		"ca is a key":                {dest + "ca", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----", ca},
		"long ca":                    {dest + "ca", strings.Repeat("a", 65537), "spec.destination.ca"},
		"validation mode":            {"spec logFileValidation", map[string]any{"mode": "On"}, "spec.logFileValidation.mode"},
		"schedule of four fields":    {"spec logFileValidation", map[string]any{"schedule": "* * * *"}, "spec.logFileValidation.schedule"},
		"schedule with a newline":    {"spec logFileValidation", map[string]any{"schedule": "* * * * *\n"}, "spec.logFileValidation.schedule"},
		"schedule by name":           {"spec logFileValidation", map[string]any{"schedule": "@daily"}, "spec.logFileValidation.schedule"},
		"schedule without digests":   {"spec logFileValidation", map[string]any{"schedule": "* * * * *", "mode": "Disabled"}, "The field schedule needs the mode Enabled"},
		"long lookback":              {"spec logFileValidation", map[string]any{"lookbackDays": 3651}, "spec.logFileValidation.lookbackDays"},
		"reader of another":          {"spec logFileValidation", map[string]any{"credentialsSecretRef": map[string]any{"name": "kube-system/x"}}, secret},
		"young files":                {"spec delivery", map[string]any{"maxFileAgeSeconds": 29}, "spec.delivery.maxFileAgeSeconds"},
		"old files":                  {"spec delivery", map[string]any{"maxFileAgeSeconds": 3601}, "spec.delivery.maxFileAgeSeconds"},
		"empty files":                {"spec delivery", map[string]any{"maxFileSizeMiB": -1}, "spec.delivery.maxFileSizeMiB"},
		"large files":                {"spec delivery", map[string]any{"maxFileSizeMiB": 65}, "spec.delivery.maxFileSizeMiB"},
		"no selection":               {"spec eventSelectors", map[string]any{}, exactlyOne},
		"both selections": {"spec eventSelectors", map[string]any{
			"basic": []any{map[string]any{}}, "advanced": advanced(management)["advanced"],
		}, exactlyOne},
		"no category": {"spec eventSelectors", advanced(field("eventName", "equals", []string{"x"})), "needs exactly one field selector for eventCategory"},
		"no operator": {"spec eventSelectors", advanced(management, field("eventName")), "A field selector needs at least one operator."},
		"prefix of readOnly": {
			"spec eventSelectors", advanced(management, field("readOnly", "startsWith", []string{"t"})), onlyEquals,
		},
		"unknown category": {
			"spec eventSelectors", advanced(field("eventCategory", "equals", []string{"Insight"})), "must equal one of Management and Data",
		},
		"unknown field":  {"spec eventSelectors", advanced(management, field("verb", "equals", []string{"get"})), "spec.eventSelectors.advanced[0].fieldSelectors"},
		"status is ours": {"spec color", "red", `unknown field "spec.color"`},
	} {
		t.Run(caption, func(t *testing.T) {
			o := with(t, tc.value, strings.Fields(tc.path)...)
			err := admin.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %q", err, tc.want)
			}
		})
	}
}

func TestTrailIsAccepted(t *testing.T) {
	for caption, tc := range map[string]struct {
		path  string
		value any
	}{
		"minimal":               {"metadata name", "audit"},
		"one letter":            {"metadata name", "a"},
		"longest name":          {"metadata name", strings.Repeat("a", 63)},
		"IPv6 endpoint":         {"spec destination endpoint", "http://[fd00::1]:9000"},
		"endpoint with a port":  {"spec destination endpoint", "https://s3.example.com:443"},
		"one-letter endpoint":   {"spec destination endpoint", "http://s"},
		"bucket with dots":      {"spec destination bucket", "a.b-c.9"},
		"prefix of elements":    {"spec destination prefix", "a/b_c/d=e/f.g"},
		"longest prefix":        {"spec destination prefix", strings.Repeat("a", 200)},
		"bounds of delivery":    {"spec delivery", map[string]any{"maxFileAgeSeconds": 30, "maxFileSizeMiB": 1}},
		"schedule":              {"spec logFileValidation", map[string]any{"schedule": "*/30 0-6,22 1-7 jan-mar MON", "lookbackDays": 1, "credentialsSecretRef": map[string]any{"name": "reader"}}},
		"validation off":        {"spec logFileValidation", map[string]any{"mode": "Disabled"}},
		"AWSLogs in an element": {"spec destination prefix", "xAWSLogs"},
	} {
		t.Run(caption, func(t *testing.T) {
			if err := admin.Create(t.Context(), with(t, tc.value, strings.Fields(tc.path)...), client.DryRunAll, client.FieldValidation("Strict")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTrailDefaults(t *testing.T) {
	o := parse(t, validTrail)
	if err := admin.Create(t.Context(), o, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"spec logFileValidation mode":     "Enabled",
		"spec delivery maxFileAgeSeconds": int64(300),
		"spec delivery maxFileSizeMiB":    int64(64),
		"status observedGeneration":       int64(-1),
	} {
		got, _, err := unstructured.NestedFieldNoCopy(o.Object, strings.Fields(path)...)
		if err != nil || got != want {
			t.Errorf("%s is %v, want %v (%v)", path, got, want, err)
		}
	}
}

func TestTrailPlaceIsFixed(t *testing.T) {
	ns := namespace(t, "fixed")
	for caption, tc := range map[string]struct {
		before, after map[string]any // of the destination; nil removes
		want          string
	}{
		"bucket":           {nil, map[string]any{"bucket": "another"}, "The field bucket cannot be changed"},
		"prefix":           {map[string]any{"prefix": "a"}, map[string]any{"prefix": "b"}, "The field prefix cannot be changed"},
		"prefix added":     {nil, map[string]any{"prefix": "b"}, "The field prefix cannot be changed"},
		"prefix removed":   {map[string]any{"prefix": "a"}, map[string]any{"prefix": nil}, "The field prefix cannot be changed"},
		"endpoint":         {map[string]any{"endpoint": "http://a"}, map[string]any{"endpoint": "http://b"}, "The field endpoint cannot be changed"},
		"endpoint added":   {nil, map[string]any{"endpoint": "http://b"}, "The field endpoint cannot be changed"},
		"endpoint removed": {map[string]any{"endpoint": "http://a"}, map[string]any{"endpoint": nil}, "The field endpoint cannot be changed"},
		"region":           {nil, map[string]any{"region": "eu-1"}, ""},
		"credentials":      {nil, map[string]any{"credentialsSecretRef": map[string]any{"name": "other"}}, ""},
	} {
		t.Run(caption, func(t *testing.T) {
			o := parse(t, validTrail)
			o.SetNamespace(ns)
			o.SetName(strings.ReplaceAll(caption, " ", "-"))
			set := func(fields map[string]any) {
				for k, v := range fields {
					if v == nil {
						unstructured.RemoveNestedField(o.Object, "spec", "destination", k)
					} else if err := unstructured.SetNestedField(o.Object, v, "spec", "destination", k); err != nil {
						t.Fatal(err)
					}
				}
			}
			set(tc.before)
			if err := admin.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			set(tc.after)
			err := admin.Update(t.Context(), o)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestSelectionLikeTheReceiver runs the selector's own table against the API
// server: both must take and refuse the same.
func TestSelectionLikeTheReceiver(t *testing.T) {
	raw, err := os.ReadFile("../../internal/selector/testdata/accept.json")
	if err != nil {
		t.Fatal(err)
	}
	var table []struct {
		Name      string `json:"name"`
		Selection any    `json:"selection"`
		Valid     bool   `json:"valid"`
	}
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	if len(table) < 20 {
		t.Fatalf("the table has %d entries only", len(table))
	}
	for _, tc := range table {
		t.Run(tc.Name, func(t *testing.T) {
			o := parse(t, validTrail)
			if tc.Selection != nil {
				o = with(t, tc.Selection, "spec", "eventSelectors")
			}
			err := admin.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict"))
			if (err == nil) != tc.Valid {
				t.Errorf("got %v, want valid: %v", err, tc.Valid)
			}
			if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Errorf("unexpected kind of refusal: %v", err)
			}
		})
	}
}
