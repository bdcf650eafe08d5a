package selector

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func TestClasses(t *testing.T) {
	const read, write, secret = receiverstatus.ClassRead, receiverstatus.ClassWrite, receiverstatus.ClassSecret
	type want = map[receiverstatus.Class]bool
	basic := func(b ...v1alpha1.BasicEventSelector) v1alpha1.EventSelection {
		return v1alpha1.EventSelection{Basic: b}
	}
	advanced := func(category string, fields ...v1alpha1.FieldSelector) v1alpha1.EventSelection {
		fields = append(fields, v1alpha1.FieldSelector{Field: v1alpha1.FieldEventCategory, Equals: []string{category}})
		return v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: fields}}}
	}
	readOnly := func(v string) v1alpha1.FieldSelector {
		return v1alpha1.FieldSelector{Field: v1alpha1.FieldReadOnly, Equals: []string{v}}
	}
	equals := func(f v1alpha1.Field, v ...string) v1alpha1.FieldSelector {
		return v1alpha1.FieldSelector{Field: f, Equals: v}
	}
	for name, c := range map[string]struct {
		sel  v1alpha1.EventSelection
		want want
	}{
		"none given":    {v1alpha1.EventSelection{}, want{read: false, write: true, secret: false}},
		"all":           {basic(v1alpha1.BasicEventSelector{ReadWriteType: "All"}), want{read: false, write: true, secret: false}},
		"reads":         {basic(v1alpha1.BasicEventSelector{ReadWriteType: v1alpha1.ReadOnly}), want{read: true, secret: true}},
		"writes":        {basic(v1alpha1.BasicEventSelector{ReadWriteType: v1alpha1.WriteOnly}), want{write: true}},
		"reads, writes": {basic(v1alpha1.BasicEventSelector{ReadWriteType: v1alpha1.ReadOnly}, v1alpha1.BasicEventSelector{}), want{read: true, write: true, secret: true}},
		"data only": {basic(v1alpha1.BasicEventSelector{IncludeManagementEvents: ptr.To(false), DataResources: []v1alpha1.DataResource{
			{Type: "K8S::core::Pod", Values: []string{"arn:k8s"}},
		}}), want{}},
		"advanced":          {advanced("Management"), want{read: false, write: true, secret: false}},
		"advanced data":     {advanced("Data", equals(v1alpha1.FieldResourcesType, "K8S::core::Pod")), want{}},
		"advanced reads":    {advanced("Management", readOnly("true")), want{read: true, secret: true}},
		"advanced writes":   {advanced("Management", readOnly("false")), want{write: true}},
		"access to Secrets": {advanced("Management", equals(v1alpha1.FieldResourcesType, "K8S::core::Secret")), want{secret: true}},
		"by name":           {advanced("Management", equals(v1alpha1.FieldEventName, "GetPod", "CreatePod")), want{read: true, write: true}},
		"reads by name":     {advanced("Management", equals(v1alpha1.FieldEventName, "ListPods")), want{read: true}},
		"Secrets by name":   {advanced("Management", equals(v1alpha1.FieldEventName, "GetSecret", "ListSecrets")), want{secret: true}},
		"sessions":          {advanced("Management", equals(v1alpha1.FieldEventName, "ExecPod", "AttachPod")), want{}},
		"deletions": {advanced("Management", v1alpha1.FieldSelector{
			Field: v1alpha1.FieldEventName, StartsWith: []string{"Delete"},
		}), want{write: true}},
		"Secrets by how it begins": {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventName, StartsWith: []string{"GetSecret"}}), want{secret: true}},
		"reads by how it begins":   {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventName, StartsWith: []string{"Get"}}), want{read: true, secret: false}},
		"Secrets of others":        {advanced("Management", equals(v1alpha1.FieldEventName, "CreateSealedSecret", "PatchPushSecret")), want{write: true}},
		"reads of others' Secrets": {advanced("Management", equals(v1alpha1.FieldEventName, "ListExternalSecrets")), want{read: true}},
		"all but Secrets":          {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldResourcesType, NotEquals: []string{"K8S::core::Secret"}}), want{read: false, write: true}},
		"one type":                 {advanced("Management", equals(v1alpha1.FieldResourcesType, "K8S::apps::Deployment")), want{read: false, write: true}},
		"Secrets and another type": {advanced("Management", equals(v1alpha1.FieldResourcesType, "K8S::core::Secret", "K8S::apps::Deployment")), want{read: false, write: true, secret: false}},
		"one group":                {advanced("Management", equals(v1alpha1.FieldEventSource, "apps.k8s.io")), want{read: false, write: true}},
		"reads of one group":       {advanced("Management", readOnly("true"), equals(v1alpha1.FieldEventSource, "apps.k8s.io")), want{read: true}},
		"all but the core group":   {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventSource, NotEquals: []string{"core.k8s.io"}}), want{read: false, write: true}},
		"basic but the core group": {basic(v1alpha1.BasicEventSelector{ExcludeManagementEventSources: []string{"core.k8s.io"}}), want{read: false, write: true}},
		"no reads by name":         {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventName, NotStartsWith: []string{"Get", "L", "Watch"}}), want{write: true}},
		"no reads of Secrets":      {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventName, NotEquals: []string{"GetSecret", "ListSecrets", "WatchSecrets"}}), want{read: false, write: true}},
		"some reads by name":       {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventName, NotStartsWith: []string{"GetP", "List", "Watch"}}), want{read: false, write: true, secret: false}},
		"no changes by name": {advanced("Management", v1alpha1.FieldSelector{
			Field: v1alpha1.FieldEventName, NotStartsWith: []string{"Create", "Update", "Patch", "Delete"},
		}), want{read: false, secret: false}},
		"no objects by how it begins": {advanced("Management", v1alpha1.FieldSelector{Field: v1alpha1.FieldEventSource, StartsWith: []string{"apiserver."}}), want{}},
		"no objects":                  {advanced("Management", equals(v1alpha1.FieldEventSource, "apiserver.k8s.io")), want{}},
		"one user":                    {advanced("Management", readOnly("true"), equals(v1alpha1.FieldUserIdentityARN, "arn:k8s:iam:a:1:user/anna")), want{read: false, secret: false}},
		"but a user":                  {advanced("Management", readOnly("true"), v1alpha1.FieldSelector{Field: v1alpha1.FieldUserIdentityARN, NotEquals: []string{"x"}}), want{read: true, secret: true}},
		"one and all":                 {v1alpha1.EventSelection{Advanced: append(advanced("Management", readOnly("true")).Advanced, advanced("Management").Advanced...)}, want{read: true, write: true, secret: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Classes(c.sel)); d != "" {
				t.Error(d)
			}
		})
	}
}
