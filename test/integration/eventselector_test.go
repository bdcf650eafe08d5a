package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

var (
	reads  = v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.ReadOnly}}}
	writes = v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly}}}
	execs  = v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
		{Field: v1alpha1.FieldEventCategory, Equals: []string{"Management"}},
		{Field: v1alpha1.FieldEventName, Equals: []string{"ExecPod"}},
	}}}}
)

// selects creates an EventSelector with the label topic.
func selects(t *testing.T, ns, name, topic string, sel v1alpha1.EventSelection) *v1alpha1.EventSelector {
	t.Helper()
	e := &v1alpha1.EventSelector{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"topic": topic}},
		Spec:       v1alpha1.EventSelectorSpec{EventSelection: sel},
	}
	if err := admin.Create(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

func change(t *testing.T, e *v1alpha1.EventSelector, change func(*v1alpha1.EventSelector)) {
	t.Helper()
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(e), e); err != nil {
			return err.Error()
		}
		change(e)
		if err := admin.Update(t.Context(), e); err != nil {
			return err.Error()
		}
		return ""
	})
}

func remove(t *testing.T, o client.Object) {
	t.Helper()
	if err := admin.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func refersTo(names ...string) func(*v1alpha1.Trail) {
	return func(t *v1alpha1.Trail) {
		for _, n := range names {
			t.Spec.EventSelectorRefs = append(t.Spec.EventSelectorRefs, v1alpha1.EventSelectorRef{Name: n})
		}
	}
}

func labeled(topic string) func(*v1alpha1.Trail) {
	return func(t *v1alpha1.Trail) {
		t.Spec.EventSelectorLabels = &metav1.LabelSelector{MatchLabels: map[string]string{"topic": topic}}
	}
}

// rendered waits until the receiver has loaded the selection.
func (r *receiver) rendered(t *testing.T, uid string, want v1alpha1.EventSelection) {
	t.Helper()
	eventually(t, func() string {
		trail := r.trail(uid)
		if trail == nil {
			return "the trail in the receiver's configuration"
		}
		return cmp.Diff(want, trail.Selection)
	})
}

// puts are the selections that were recorded in the trail as PutEventSelectors.
func (r *receiver) puts(t *testing.T, uid string) []v1alpha1.EventSelection {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []v1alpha1.EventSelection
	for _, e := range r.events {
		if e.Name != record.EventPutEventSelectors || len(e.Trails) != 1 || e.Trails[0] != uid {
			continue
		}
		var d struct {
			TrailName              string
			TrailARN               string
			EventSelectors         []v1alpha1.BasicEventSelector
			AdvancedEventSelectors []v1alpha1.AdvancedEventSelector
		}
		if err := json.Unmarshal(e.Details, &d); err != nil || d.TrailARN != e.TrailARN || !strings.HasSuffix(d.TrailARN, "/"+d.TrailName) {
			t.Errorf("details %s: %v", e.Details, err)
		}
		list = append(list, v1alpha1.EventSelection{Basic: d.EventSelectors, Advanced: d.AdvancedEventSelectors})
	}
	return list
}

func (r *receiver) putsAre(t *testing.T, uid string, want ...v1alpha1.EventSelection) {
	t.Helper()
	eventually(t, func() string { return cmp.Diff(want, r.puts(t, uid)) })
}

// selectorStatus waits for Ready of an EventSelector and for the trails that use it.
func selectorStatus(t *testing.T, e *v1alpha1.EventSelector, ready, message string, usedBy ...string) {
	t.Helper()
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(e), e); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || string(c.Status)+" "+c.Reason != ready || !strings.Contains(c.Message, message) || c.ObservedGeneration != e.Generation {
			return fmt.Sprintf("Ready %s with %q: it is %+v", ready, message, c)
		}
		if e.Status.ObservedGeneration != e.Generation || int(e.Status.Trails) != len(usedBy) {
			return fmt.Sprintf("%d trails of generation %d: the status is %+v", len(usedBy), e.Generation, e.Status)
		}
		return cmp.Diff(usedBy, e.Status.UsedBy)
	})
}

// TestSelectionByName follows a trail through the life of the EventSelector it
// names: it records nothing before there is one, every change stands in the trail
// once it is in force, and the last selection stays when it is deleted.
func TestSelectionByName(t *testing.T) {
	e := startEnv(t)
	ns := tenant(t, "selection-name")
	trail := create(t, ns, refersTo("chosen"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "False EventSelectorNotFound", "There is no EventSelector chosen in the namespace selection-name. Create it")
	condition(t, trail, "Receiving", "False EventSelectorNotFound")
	condition(t, trail, "BucketReady", "True PrefixClaimed")
	condition(t, trail, "Reconciling", "True Retrying")
	if e.receiver.trail(uid) != nil {
		t.Error("the receiver has the trail without a selection")
	}

	chosen := selects(t, ns, "chosen", "", writes)
	condition(t, trail, "Ready", "True Recording")
	absent(t, trail, "Reconciling", "Stalled")
	e.receiver.rendered(t, uid, writes)
	eventually(t, func() string {
		return cmp.Diff([]string{"CreateTrail", "StartLogging", "PutEventSelectors"}, e.receiver.recorded(uid))
	})
	selectorStatus(t, chosen, "True Compiled", "Selects write management events.", "audit")
	generation := trail.Generation

	// Rendered is not yet in force.
	e.receiver.do(func(r *receiver) { r.frozen = true })
	change(t, chosen, func(e *v1alpha1.EventSelector) { e.Spec.EventSelection = execs })
	condition(t, trail, "Receiving", "Unknown ConfigurationSent")
	condition(t, trail, "Reconciling", "True ConfigurationSent")
	e.receiver.putsAre(t, uid, writes)
	e.receiver.do(func(r *receiver) { r.frozen = false })
	condition(t, trail, "Ready", "True Recording")
	e.receiver.rendered(t, uid, execs)
	e.receiver.putsAre(t, uid, writes, execs)
	selectorStatus(t, chosen, "True Compiled", "Selects management events chosen by eventName.", "audit")

	remove(t, chosen)
	condition(t, trail, "Ready", "False EventSelectorNotFound", "Until then the trail goes on with the selection that it had.")
	condition(t, trail, "BucketReady", "True PrefixClaimed")
	// Everything else of the spec still takes effect.
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Delivery.MaxFileAgeSeconds = 60 })
	eventually(t, func() string {
		if got := e.receiver.trail(uid); got.MaxFileAgeSeconds != 60 {
			return "the change of the spec"
		}
		return ""
	})
	e.receiver.rendered(t, uid, execs)

	// Back to what it once was: that is a change like any other.
	chosen = selects(t, ns, "chosen", "", writes)
	condition(t, trail, "Ready", "True Recording")
	e.receiver.putsAre(t, uid, writes, execs, writes)
	if trail.Generation != generation+1 {
		t.Errorf("the generation went from %d to %d", generation, trail.Generation)
	}
	want := []string{"CreateTrail", "StartLogging", "PutEventSelectors", "PutEventSelectors", "UpdateTrail", "PutEventSelectors"}
	if d := cmp.Diff(want, e.receiver.recorded(uid)); d != "" {
		t.Error(d)
	}

	// From here on the trail selects by itself.
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.EventSelectorRefs, t.Spec.EventSelectors = nil, &reads })
	condition(t, trail, "Ready", "True Recording")
	e.receiver.putsAre(t, uid, writes, execs, writes, reads)
	selectorStatus(t, chosen, "True Compiled", "Selects write management events.")
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			return err.Error()
		}
		for _, ev := range list.Items {
			if ev.Reason == "Compiled" && ev.Type == corev1.EventTypeNormal && ev.Regarding.Kind == "EventSelector" {
				return ""
			}
		}
		return "an Event about the EventSelector"
	})
}

// TestSelectionByLabels: EventSelectors come and go by their labels.
func TestSelectionByLabels(t *testing.T) {
	e := startEnv(t)
	ns := tenant(t, "selection-labels")
	trail := create(t, ns, labeled("security"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "False EventSelectorNotFound", "No EventSelector in the namespace selection-labels has the labels")
	other := selects(t, ns, "a-other", "cost", reads)
	one := selects(t, ns, "b-one", "security", writes)
	condition(t, trail, "Ready", "True Recording")
	e.receiver.rendered(t, uid, writes)
	// Of changes that follow each other soon, the last is recorded: each waits for
	// the record of the one before.
	e.receiver.putsAre(t, uid, writes)
	selectorStatus(t, other, "True Compiled", "Selects read management events.")
	selectorStatus(t, one, "True Compiled", "Selects write management events.", "audit")

	change(t, other, func(e *v1alpha1.EventSelector) { e.Labels["topic"] = "security" })
	both := v1alpha1.EventSelection{Basic: append(append([]v1alpha1.BasicEventSelector{}, reads.Basic...), writes.Basic...)}
	e.receiver.rendered(t, uid, both)
	e.receiver.putsAre(t, uid, writes, both)
	selectorStatus(t, other, "True Compiled", "Selects read management events.", "audit")
	change(t, one, func(e *v1alpha1.EventSelector) { e.Labels = nil })
	e.receiver.rendered(t, uid, reads)
	e.receiver.putsAre(t, uid, writes, both, reads)
	selectorStatus(t, one, "True Compiled", "Selects write management events.")
	third := selects(t, ns, "c-third", "security", writes)
	e.receiver.rendered(t, uid, both)
	e.receiver.putsAre(t, uid, writes, both, reads, both)
	remove(t, third)
	e.receiver.rendered(t, uid, reads)
	condition(t, trail, "Ready", "True Recording")
	e.receiver.putsAre(t, uid, writes, both, reads, both, reads)

	// More than a trail may use: it goes on as it was.
	for i := range 20 {
		selects(t, ns, fmt.Sprintf("many-%d", i), "security", writes)
	}
	condition(t, trail, "Ready", "False EventSelectorInvalid", "21 EventSelectors", "a trail may use at most 20", "goes on with the selection that it had")
	condition(t, trail, "Stalled", "True EventSelectorInvalid")
}

// TestSelectionOfASuspendedTrail: what changes while a trail is suspended stands
// in it when it records again.
func TestSelectionOfASuspendedTrail(t *testing.T) {
	e := startEnv(t)
	ns := tenant(t, "selection-suspended")
	chosen := selects(t, ns, "chosen", "", writes)
	trail := create(t, ns, refersTo("chosen"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	e.receiver.putsAre(t, uid, writes)
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Suspend = true })
	condition(t, trail, "Receiving", "False Suspended")
	change(t, chosen, func(e *v1alpha1.EventSelector) { e.Spec.EventSelection = reads })
	e.receiver.rendered(t, uid, reads)
	condition(t, trail, "Receiving", "False Suspended")
	remove(t, chosen)
	condition(t, trail, "Ready", "False EventSelectorNotFound")
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Suspend = false })
	e.receiver.putsAre(t, uid, writes, reads)
}

// TestSelectionOfAnOrganizationTrail: its EventSelectors are those beside the
// operator, and no tenant's.
func TestSelectionOfAnOrganizationTrail(t *testing.T) {
	e := startEnv(t)
	ns := tenant(t, "selection-organization")
	theirs := selects(t, ns, "for-all", "", reads)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: "selection-bucket"}, StringData: map[string]string{
		v1alpha1.SecretAccessKeyID: "AKIA", v1alpha1.SecretSecretAccessKey: "planted-secret",
	}}
	if err := admin.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	o := &v1alpha1.OrganizationTrail{ObjectMeta: metav1.ObjectMeta{Name: "selection"}}
	o.Spec.Destination = v1alpha1.Destination{Bucket: ns, CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: secret.Name}}
	refersTo("for-all")(o.AsTrail())
	if err := admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ready := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				return err.Error()
			}
			if c := meta.FindStatusCondition(o.Status.Conditions, "Ready"); c == nil || string(c.Status)+" "+c.Reason != want {
				return fmt.Sprintf("Ready %s: it is %+v", want, c)
			}
			return ""
		})
	}
	ready("False EventSelectorNotFound")
	ours := selects(t, installed, "for-all", "", writes)
	ready("True Recording")
	e.receiver.rendered(t, string(o.UID), writes)
	selectorStatus(t, ours, "True Compiled", "Selects write management events.", "organizationtrail/selection")
	selectorStatus(t, theirs, "True Compiled", "Selects read management events.")
	change(t, ours, func(e *v1alpha1.EventSelector) { e.Spec.EventSelection = execs })
	e.receiver.rendered(t, string(o.UID), execs)
	e.receiver.putsAre(t, string(o.UID), writes, execs)
	remove(t, o)
	eventually(t, func() string {
		e.receiver.set(string(o.UID), func(s *receiverstatus.Trail) { s.Flushed = true })
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) == nil && err != nil {
			return ""
		}
		return "the end of the OrganizationTrail"
	})
	selectorStatus(t, ours, "True Compiled", "")
	remove(t, ours)
}

// TestSampleEventSelectors: all that we ship can be used as it is.
func TestSampleEventSelectors(t *testing.T) {
	startEnv(t)
	ns := namespace(t, "selection-samples")
	files, err := filepath.Glob("../../config/samples/eventselectors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o := parse(t, string(raw))
		o.SetNamespace(ns)
		if err := admin.Create(t.Context(), o, client.FieldValidation("Strict")); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		e := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: o.GetName()}}
		selectorStatus(t, e, "True Compiled", "Selects ")
	}
}

func TestSelectionIsRefused(t *testing.T) {
	const (
		atMostOne  = "Set at most one of eventSelectors, eventSelectorRefs and eventSelectorLabels."
		exactlyOne = "Set exactly one of basic and advanced."
	)
	basic := `{"basic":[{}]}`
	category := `{"field":"eventCategory","equals":["Management"]}`
	var names []string
	for i := range 21 {
		names = append(names, fmt.Sprintf(`{"name":"e%d"}`, i))
	}
	inTrail := map[string]struct{ spec, want string }{
		"inline and names":        {`eventSelectors: ` + basic + "\n" + `eventSelectorRefs: [{name: a}]`, atMostOne},
		"inline and labels":       {`eventSelectors: ` + basic + "\n" + `eventSelectorLabels: {}`, atMostOne},
		"names and labels":        {`eventSelectorRefs: [{name: a}]` + "\n" + `eventSelectorLabels: {matchLabels: {a: b}}`, atMostOne},
		"all three":               {`eventSelectors: ` + basic + "\n" + `eventSelectorRefs: [{name: a}]` + "\n" + `eventSelectorLabels: {}`, atMostOne},
		"no names":                {`eventSelectorRefs: []`, "spec.eventSelectorRefs"},
		"an empty name":           {`eventSelectorRefs: [{name: ""}]`, "spec.eventSelectorRefs[0].name"},
		"a name too long":         {`eventSelectorRefs: [{name: ` + strings.Repeat("a", 254) + `}]`, "spec.eventSelectorRefs[0].name"},
		"a reference without one": {`eventSelectorRefs: [{}]`, "spec.eventSelectorRefs[0].name"},
		"a name twice":            {`eventSelectorRefs: [{name: a}, {name: a}]`, "Duplicate value"},
		"twenty-one names":        {`eventSelectorRefs: [` + strings.Join(names, ",") + `]`, "must have at most 20 items"},
		"neither basic nor":       {`eventSelectors: {}`, exactlyOne},
		"a namespace":             {`eventSelectorRefs: [{name: a, namespace: b}]`, `unknown field "spec.eventSelectorRefs[0].namespace"`},
		"names":                   {`eventSelectorRefs: [` + strings.Join(names[:20], ",") + `]`, ""},
		"labels":                  {`eventSelectorLabels: {matchExpressions: [{key: a, operator: Exists}]}`, ""},
	}
	inSelector := map[string]struct{ spec, want string }{
		"neither":              {`{}`, exactlyOne},
		"both":                 {`{"basic":[{}],"advanced":[{"fieldSelectors":[` + category + `]}]}`, exactlyOne},
		"no category":          {`{"advanced":[{"fieldSelectors":[{"field":"eventName","equals":["a"]}]}]}`, "exactly one field selector for eventCategory"},
		"no operator":          {`{"advanced":[{"fieldSelectors":[` + category + `,{"field":"eventName"}]}]}`, "A field selector needs at least one operator."},
		"prefix of a category": {`{"advanced":[{"fieldSelectors":[{"field":"eventCategory","startsWith":["M"]}]}]}`, "take the operator equals only"},
		"another category":     {`{"advanced":[{"fieldSelectors":[{"field":"eventCategory","equals":["Insight"]}]}]}`, "must equal one of Management and Data"},
		"readOnly maybe":       {`{"advanced":[{"fieldSelectors":[` + category + `,{"field":"readOnly","equals":["maybe"]}]}]}`, "must equal one of true and false"},
		"unknown field":        {`{"all":true}`, `unknown field "spec.all"`},
		"basic":                {basic, ""},
	}
	check := func(t *testing.T, text, want string) {
		t.Helper()
		err := admin.Create(t.Context(), parse(t, text), client.DryRunAll, client.FieldValidation("Strict"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for caption, tc := range inTrail {
		t.Run("trail/"+caption, func(t *testing.T) {
			indented := "  " + strings.ReplaceAll(tc.spec, "\n", "\n  ")
			check(t, strings.TrimRight(validTrail, "\n")+"\n"+indented+"\n", tc.want)
			organization := strings.NewReplacer("kind: Trail", "kind: OrganizationTrail", ", namespace: default", "").Replace(validTrail)
			check(t, strings.TrimRight(organization, "\n")+"\n"+indented+"\n", tc.want)
		})
	}
	for caption, tc := range inSelector {
		t.Run("event selector/"+caption, func(t *testing.T) {
			check(t, "apiVersion: trail-operator.io/v1alpha1\nkind: EventSelector\nmetadata: {name: e, namespace: default}\nspec: "+tc.spec, tc.want)
		})
	}
}

// TestEventSelectorLikeTheReceiver runs the selector's own table against the
// kind EventSelector, as TestSelectionLikeTheReceiver does against the Trail.
func TestEventSelectorLikeTheReceiver(t *testing.T) {
	raw, err := os.ReadFile("../../internal/selector/testdata/accept.json")
	if err != nil {
		t.Fatal(err)
	}
	var table []struct {
		Name      string          `json:"name"`
		Selection json.RawMessage `json:"selection"`
		Valid     bool            `json:"valid"`
	}
	if err := json.Unmarshal(raw, &table); err != nil || len(table) < 20 {
		t.Fatalf("%d entries, %v", len(table), err)
	}
	for _, tc := range table {
		if string(tc.Selection) == "null" {
			continue // an EventSelector selects something
		}
		spec, err := yaml.JSONToYAML(tc.Selection)
		if err != nil {
			t.Fatal(err)
		}
		o := parse(t, "apiVersion: trail-operator.io/v1alpha1\nkind: EventSelector\nmetadata: {name: e, namespace: default}\n")
		var parsed any
		if err := yaml.Unmarshal(spec, &parsed); err != nil {
			t.Fatal(err)
		}
		o.Object["spec"] = parsed
		if err := admin.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict")); (err == nil) != tc.Valid {
			t.Errorf("%s: got %v, want valid: %v", tc.Name, err, tc.Valid)
		}
	}
}
