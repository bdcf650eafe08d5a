package selector_test

import (
	"encoding/json"
	"testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
)

func parse(tb testing.TB, text string) v1alpha1.EventSelection {
	tb.Helper()
	var sel v1alpha1.EventSelection
	if err := json.Unmarshal([]byte(text), &sel); err != nil {
		tb.Fatal(err)
	}
	return sel
}

func compile(tb testing.TB, text, namespace string) *selector.Selector {
	tb.Helper()
	s, err := selector.Compile(parse(tb, text), namespace)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func management(name string, readOnly bool) record.Facts {
	return record.Facts{
		Category: record.CategoryManagement, ReadOnly: readOnly, EventName: name, EventSource: "apps.k8s.io",
		EventType: record.TypeAPICall, UserARN: "arn:k8s:iam:eu-west:123456789012:user/jane", Namespace: "shop",
		Resources: []record.FactResource{{Type: "K8S::apps::Deployment", ARN: "arn:k8s:apps:eu-west:123456789012:shop/deployments/web"}},
	}
}

func data(readOnly bool, resources ...record.FactResource) record.Facts {
	return record.Facts{
		Category: record.CategoryData, ReadOnly: readOnly, EventName: "GetObject", EventSource: "s3.amazonaws.com",
		EventType: record.TypeAPICall, UserARN: "arn:k8s:core:eu-west:123456789012:shop/serviceaccounts/web", Namespace: "shop",
		Resources: resources,
	}
}

func object(arn string) record.FactResource {
	return record.FactResource{Type: "AWS::S3::Object", ARN: arn}
}

func TestMatchBasic(t *testing.T) {
	read, write := management("GetDeployment", true), management("CreateDeployment", false)
	table := record.FactResource{Type: "AWS::DynamoDB::Table", ARN: "arn:aws:dynamodb:eu-west-1:1:table/cart"}
	pod := record.FactResource{Type: "K8S::core::Pod", ARN: "arn:k8s:core:eu-west:123456789012:shop/pods/web-1"}
	for name, tc := range map[string]struct {
		selection string
		facts     record.Facts
		want      bool
	}{
		"not set: read":                 {`null`, read, true},
		"not set: write":                {`null`, write, true},
		"not set: data":                 {`null`, data(true, object("arn:aws:s3:::b/k")), false},
		"unknown category":              {`null`, record.Facts{Category: "Insight"}, false},
		"defaults: management":          {`{"basic":[{}]}`, write, true},
		"defaults: data":                {`{"basic":[{}]}`, data(true, object("arn:aws:s3:::b/k")), false},
		"read only takes reads":         {`{"basic":[{"readWriteType":"ReadOnly"}]}`, read, true},
		"read only leaves writes":       {`{"basic":[{"readWriteType":"ReadOnly"}]}`, write, false},
		"write only takes writes":       {`{"basic":[{"readWriteType":"WriteOnly"}]}`, write, true},
		"write only leaves reads":       {`{"basic":[{"readWriteType":"WriteOnly"}]}`, read, false},
		"any of several":                {`{"basic":[{"readWriteType":"ReadOnly"},{"readWriteType":"WriteOnly"}]}`, write, true},
		"no management events":          {`{"basic":[{"includeManagementEvents":false}]}`, write, false},
		"source excluded":               {`{"basic":[{"excludeManagementEventSources":["apps.k8s.io"]}]}`, write, false},
		"other source excluded":         {`{"basic":[{"excludeManagementEventSources":["apps"]}]}`, write, true},
		"exclusion does not touch data": {`{"basic":[{"excludeManagementEventSources":["s3.amazonaws.com"],"dataResources":[{"type":"AWS::S3::Object","values":["arn:aws:s3"]}]}]}`, data(true, object("arn:aws:s3:::b/k")), true},
		"all buckets":                   {basicData("AWS::S3::Object", "arn:aws:s3"), data(true, object("arn:aws:s3:::b/k")), true},
		"whole bucket":                  {basicData("AWS::S3::Object", "arn:aws:s3:::b/"), data(true, object("arn:aws:s3:::b/k")), true},
		"bucket with a longer name":     {basicData("AWS::S3::Object", "arn:aws:s3:::b/"), data(true, object("arn:aws:s3:::bb/k")), false},
		"prefix in a bucket":            {basicData("AWS::S3::Object", "arn:aws:s3:::b/in/"), data(true, object("arn:aws:s3:::b/in/k")), true},
		"other prefix":                  {basicData("AWS::S3::Object", "arn:aws:s3:::b/in/"), data(true, object("arn:aws:s3:::b/out/k")), false},
		"second resource":               {basicData("AWS::S3::Object", "arn:aws:s3:::b/"), data(true, object("arn:aws:s3:::a/k"), object("arn:aws:s3:::b/k")), true},
		"other type":                    {basicData("AWS::S3::Object", "arn"), data(true, table), false},
		"table":                         {basicData("AWS::DynamoDB::Table", table.ARN), data(true, table), true},
		"table by prefix":               {basicData("AWS::DynamoDB::Table", "arn:aws:dynamodb:eu-west-1:1:table/"), data(true, table), false},
		"all tables":                    {basicData("AWS::DynamoDB::Table", "arn:aws:dynamodb"), data(true, table), true},
		"all functions are not tables":  {basicData("AWS::Lambda::Function", "arn:aws:lambda"), data(true, table), false},
		"pods of a namespace":           {basicData("K8S::core::Pod", "arn:k8s:core:eu-west:123456789012:shop/pods/"), data(true, pod), true},
		"all pods":                      {basicData("K8S::core::Pod", "arn:k8s"), data(true, pod), true},
		"no resources":                  {basicData("K8S::core::Pod", "arn:k8s"), data(true), false},
		"management of the same object": {`{"basic":[{"includeManagementEvents":false,"dataResources":[{"type":"K8S::apps::Deployment","values":["arn:k8s"]}]}]}`, write, false},
		"read only data":                {`{"basic":[{"readWriteType":"WriteOnly","dataResources":[{"type":"AWS::S3::Object","values":["arn:aws:s3"]}]}]}`, data(true, object("arn:aws:s3:::b/k")), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := compile(t, tc.selection, "").Match(&tc.facts); got != tc.want {
				t.Errorf("want %v, got %v", tc.want, got)
			}
		})
	}
}

func basicData(kind, value string) string {
	text, _ := json.Marshal(v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{
		{DataResources: []v1alpha1.DataResource{{Type: kind, Values: []string{value}}}},
	}})
	return string(text)
}

func TestMatchAdvanced(t *testing.T) {
	read, write := management("GetDeployment", true), management("CreateDeployment", false)
	a, b := object("arn:aws:s3:::a/k"), object("arn:aws:s3:::b/k")
	bucket := record.FactResource{Type: "AWS::S3::Bucket", ARN: "arn:aws:s3:::c"}
	for name, tc := range map[string]struct {
		category, fields string
		facts            record.Facts
		want             bool
	}{
		"category alone":                     {"Management", ``, read, true},
		"other category":                     {"Data", ``, read, false},
		"data without a resource type":       {"Data", ``, data(false, a), true},
		"readOnly true":                      {"Management", `,{"field":"readOnly","equals":["true"]}`, write, false},
		"readOnly false":                     {"Management", `,{"field":"readOnly","equals":["false"]}`, write, true},
		"values of an operator are or":       {"Management", `,{"field":"eventName","equals":["X","CreateDeployment"]}`, write, true},
		"equals is not a prefix":             {"Management", `,{"field":"eventName","equals":["Create"]}`, write, false},
		"case matters":                       {"Management", `,{"field":"eventName","equals":["createdeployment"]}`, write, false},
		"fields are and":                     {"Management", `,{"field":"eventName","equals":["CreateDeployment"]},{"field":"eventSource","equals":["core.k8s.io"]}`, write, false},
		"startsWith":                         {"Management", `,{"field":"eventName","startsWith":["Delete","Create"]}`, write, true},
		"endsWith":                           {"Management", `,{"field":"eventName","endsWith":["Pod","Deployment"]}`, write, true},
		"endsWith, none":                     {"Management", `,{"field":"eventName","endsWith":["Pod","deployment"]}`, write, false},
		"no negative may match":              {"Management", `,{"field":"eventName","notEquals":["GetPod","CreateDeployment"]}`, write, false},
		"negatives that do not match":        {"Management", `,{"field":"eventName","notEquals":["GetPod"],"notStartsWith":["Get","List"],"notEndsWith":["Pod"]}`, write, true},
		"notStartsWith":                      {"Management", `,{"field":"eventName","notStartsWith":["Get","Create"]}`, write, false},
		"notEndsWith":                        {"Management", `,{"field":"eventName","notEndsWith":["ment"]}`, write, false},
		"operators of a field are and":       {"Management", `,{"field":"eventName","startsWith":["Create"],"endsWith":["Pod"]}`, write, false},
		"positive and negative":              {"Management", `,{"field":"eventName","startsWith":["Create"],"notEquals":["CreatePod"]}`, write, true},
		"event type":                         {"Management", `,{"field":"eventType","notEquals":["AwsServiceEvent"]}`, write, true},
		"identity":                           {"Management", `,{"field":"userIdentity.arn","endsWith":[":user/jane"]}`, write, true},
		"identity, negative":                 {"Management", `,{"field":"userIdentity.arn","notEndsWith":[":user/jane"]}`, write, false},
		"resource type":                      {"Management", `,{"field":"resources.type","equals":["K8S::core::Pod","K8S::apps::Deployment"]}`, write, true},
		"resource ARN":                       {"Management", `,{"field":"resources.ARN","startsWith":["arn:k8s:apps:"]}`, write, true},
		"any resource may match":             {"Data", `,{"field":"resources.ARN","startsWith":["arn:aws:s3:::b/"]}`, data(true, a, b), true},
		"no resource may match a negative":   {"Data", `,{"field":"resources.ARN","notStartsWith":["arn:aws:s3:::b/"]}`, data(true, a, b), false},
		"one resource has both operators":    {"Data", `,{"field":"resources.ARN","startsWith":["arn:aws:s3:::a"],"endsWith":["/k"]}`, data(true, a, bucket), true},
		"operators on different resources":   {"Data", `,{"field":"resources.ARN","startsWith":["arn:aws:s3:::c"],"endsWith":["/k"]}`, data(true, a, bucket), false},
		"type and ARN on one resource":       {"Data", `,{"field":"resources.type","equals":["AWS::S3::Bucket"]},{"field":"resources.ARN","equals":["arn:aws:s3:::c"]}`, data(true, a, bucket), true},
		"type and ARN on different ones":     {"Data", `,{"field":"resources.type","equals":["AWS::S3::Bucket"]},{"field":"resources.ARN","equals":["arn:aws:s3:::a/k"]}`, data(true, a, bucket), false},
		"negative looks at the type only":    {"Data", `,{"field":"resources.type","equals":["AWS::S3::Object"]},{"field":"resources.ARN","notEquals":["arn:aws:s3:::c"]}`, data(true, a, bucket), true},
		"negative with no such type":         {"Data", `,{"field":"resources.type","equals":["AWS::S3::Object"]},{"field":"resources.ARN","notEquals":["arn:aws:s3:::x"]}`, data(true, bucket), false},
		"no resources, positive":             {"Data", `,{"field":"resources.ARN","startsWith":["arn"]}`, data(true), false},
		"no resources, negative":             {"Data", `,{"field":"resources.ARN","notStartsWith":["arn"]}`, data(true), true},
		"no resources, type":                 {"Data", `,{"field":"resources.type","equals":["AWS::S3::Object"]}`, data(true), false},
		"positive that also is a negative":   {"Management", `,{"field":"eventName","equals":["CreateDeployment"],"notEquals":["CreateDeployment"]}`, write, false},
		"shorter prefix hidden by a longer":  {"Management", `,{"field":"eventName","startsWith":["Create","CreateDaemonSet"]}`, write, true},
		"prefix that is the value itself":    {"Management", `,{"field":"eventName","startsWith":["CreateDeployment"]}`, write, true},
		"shorter suffix hidden by a longer":  {"Management", `,{"field":"eventName","endsWith":["ment","Deployment"]}`, write, true},
		"suffix that is the value itself":    {"Management", `,{"field":"eventName","endsWith":["CreateDeployment"]}`, write, true},
		"suffix that is longer than a value": {"Management", `,{"field":"eventName","endsWith":["XCreateDeployment"]}`, write, false},
		"prefix that is longer than a value": {"Management", `,{"field":"eventName","startsWith":["CreateDeploymentX"]}`, write, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := `{"advanced":[{"fieldSelectors":[{"field":"eventCategory","equals":["` + tc.category + `"]}` + tc.fields + `]}]}`
			if got := compile(t, text, "").Match(&tc.facts); got != tc.want {
				t.Errorf("want %v, got %v", tc.want, got)
			}
		})
	}
}

func TestMatchNamespace(t *testing.T) {
	f := management("CreateDeployment", false)
	for _, tc := range []struct {
		trail, event string
		want         bool
	}{
		{"shop", "shop", true},
		{"shop", "bank", false},
		{"shop", "", false},
		{"shop", "shop-2", false},
		{"", "shop", true},
		{"", "", true},
	} {
		f.Namespace = tc.event
		if got := compile(t, `null`, tc.trail).Match(&f); got != tc.want {
			t.Errorf("trail of %q, event of %q: want %v, got %v", tc.trail, tc.event, tc.want, got)
		}
	}
}
