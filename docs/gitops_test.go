package docs_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const healthScript = "gitops/health.lua"

// luaValue is a value of JSON as Argo CD hands it to a script.
func luaValue(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(v)
	case float64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		t := l.NewTable()
		for _, e := range v {
			t.Append(luaValue(l, e))
		}
		return t
	case map[string]any:
		t := l.NewTable()
		for k, e := range v {
			t.RawSetString(k, luaValue(l, e))
		}
		return t
	}
	panic("no value of JSON")
}

// health runs the script as Argo CD does: without libraries that reach outside.
func health(t *testing.T, script string, object any) (status, message string) {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var content any
	if err := json.Unmarshal(raw, &content); err != nil {
		t.Fatal(err)
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	l.SetGlobal("obj", luaValue(l, content))
	if err := l.DoString(script); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	answer, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returned %v", l.Get(-1))
	}
	return answer.RawGetString("status").String(), answer.RawGetString("message").String()
}

// life is what is observed of a trail in each stage of its life, and what Argo
// CD and kstatus take it for.
var life = map[string]struct {
	change  func(*status.Observation)
	argo    string
	kstatus testenv.KStatus
}{
	"not looked at yet": {nil, "Progressing", testenv.KStatusInProgress},
	"an older generation was looked at": {
		func(o *status.Observation) { o.Trail.Generation-- }, "Progressing", testenv.KStatusInProgress,
	},
	"progressing": {
		func(o *status.Observation) { o.Receiver.Trails = nil }, "Progressing", testenv.KStatusInProgress,
	},
	"ready": {func(*status.Observation) {}, "Healthy", testenv.KStatusCurrent},
	"no API server": {
		func(o *status.Observation) { o.Receiver.Intake.Received = 0 }, "Degraded", testenv.KStatusInProgress,
	},
	"failing": {
		func(o *status.Observation) {
			o.Receiver.Trails[0].DeliveryError = &receiverstatus.Failure{Reason: receiverstatus.ReasonAccessDenied, Code: "AccessDenied"}
		}, "Degraded", testenv.KStatusInProgress,
	},
	"trying again": {
		func(o *status.Observation) {
			o.Claimed, o.Problem = false, &status.Problem{Reason: v1alpha1.ReasonBucketNotFound, Message: "m"}
		}, "Progressing", testenv.KStatusInProgress,
	},
	"stalled": {
		func(o *status.Observation) { o.Claimed, o.Problem = false, status.Invalid("m") }, "Degraded", testenv.KStatusFailed,
	},
	"suspending": {
		func(o *status.Observation) { o.Trail.Spec.Suspend = true }, "Progressing", testenv.KStatusInProgress,
	},
	"suspended": {
		func(o *status.Observation) { o.Trail.Spec.Suspend, o.Receiver.Trails[0].Flushed = true, true },
		"Suspended", testenv.KStatusCurrent,
	},
	"suspended, and cannot deliver": {
		func(o *status.Observation) {
			o.Trail.Spec.Suspend = true
			o.Problem = &status.Problem{Reason: v1alpha1.ReasonAccessDenied, Message: "m", Stalled: true}
		}, "Degraded", testenv.KStatusFailed,
	},
	"the receiver is away": {
		func(o *status.Observation) { o.Receiver = nil }, "Progressing", testenv.KStatusInProgress,
	},
	"deleting": {
		func(o *status.Observation) { o.Trail.DeletionTimestamp = &metav1.Time{Time: o.Now} }, "Progressing", testenv.KStatusTerminating,
	},
}

func observed(namespace string, change func(*status.Observation)) *v1alpha1.Trail {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	t := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "audit", UID: "u", Generation: 2}}
	t.Status.ObservedGeneration = -1
	if change == nil {
		return t
	}
	delivered := now.Add(-time.Minute)
	o := status.Observation{
		Trail: t, ARN: "arn", Claimed: true, Rendered: true, Now: now,
		Receiver: &receiverstatus.Status{
			Intake: receiverstatus.Intake{Received: 1},
			Trails: []receiverstatus.Trail{{UID: "u", Generation: 2, LastDelivery: &delivered, LastDigest: &delivered, Head: &record.Head{Sequence: 1}}},
		},
	}
	change(&o)
	t.Status = status.Of(o)
	t.Generation = 2
	return t
}

// TestLifeOfTrails: in each stage of its life a trail of either kind is for Argo
// CD, by our script, and for kstatus what it is.
func TestLifeOfTrails(t *testing.T) {
	script, err := os.ReadFile(healthScript)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range life {
		for kind, namespace := range map[string]string{"Trail": "shop", "OrganizationTrail": ""} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				trail := observed(namespace, tc.change)
				if got, message := health(t, string(script), trail); got != tc.argo || message == "" {
					t.Errorf("Argo CD takes it for %s (%s), want %s", got, message, tc.argo)
				}
				if got, why, err := testenv.KStatusOf(trail); err != nil || got != tc.kstatus {
					t.Errorf("kstatus takes it for %s (%s, %v), want %s", got, why, err, tc.kstatus)
				}
			})
		}
	}
}

// TestLifeOfEventSelectors is the same for EventSelectors.
func TestLifeOfEventSelectors(t *testing.T) {
	script, err := os.ReadFile(healthScript)
	if err != nil {
		t.Fatal(err)
	}
	condition := func(kind string, s metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: s, Reason: "R", Message: "m"}
	}
	for name, tc := range map[string]struct {
		status  v1alpha1.EventSelectorStatus
		argo    string
		kstatus testenv.KStatus
	}{
		"new":   {v1alpha1.EventSelectorStatus{ObservedGeneration: -1}, "Progressing", testenv.KStatusInProgress},
		"ready": {v1alpha1.EventSelectorStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{condition("Ready", "True")}}, "Healthy", testenv.KStatusCurrent},
		"invalid": {
			v1alpha1.EventSelectorStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{condition("Ready", "False"), condition("Stalled", "True")}},
			"Degraded", testenv.KStatusFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Name: "writes", Generation: 1}, Status: tc.status}
			if got, message := health(t, string(script), e); got != tc.argo || message == "" {
				t.Errorf("Argo CD takes it for %s (%s), want %s", got, message, tc.argo)
			}
			if got, why, err := testenv.KStatusOf(e); err != nil || got != tc.kstatus {
				t.Errorf("kstatus takes it for %s (%s, %v), want %s", got, why, err, tc.kstatus)
			}
		})
	}
}

// TestArgoConfiguration: the patch for Argo CD's configuration holds the script
// for each kind of ours.
func TestArgoConfiguration(t *testing.T) {
	script, err := os.ReadFile(healthScript)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("gitops/argocd-cm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var patch struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.UnmarshalStrict(raw, &patch); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, kind := range []string{"Trail", "OrganizationTrail", "EventSelector"} {
		want["resource.customizations.health."+v1alpha1.GroupVersion.Group+"_"+kind] = string(script)
	}
	if diff := cmp.Diff(want, patch.Data); diff != "" {
		t.Error(diff)
	}
}
