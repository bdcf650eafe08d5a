package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// TestPlaces: a namespace has five places. Later trails wait for one, whatever
// their names, also over a restart.
func TestPlaces(t *testing.T) {
	e := newEnv(t)
	stop := start(t, e)
	ns := tenant(t, "places")
	named := func(name string) *v1alpha1.Trail {
		return create(t, ns, func(t *v1alpha1.Trail) { t.Name = name })
	}
	var first []*v1alpha1.Trail
	for i := range 5 {
		first = append(first, named(fmt.Sprintf("trail-%d", i)))
	}
	for _, trail := range first {
		condition(t, trail, "Ready", "True Recording")
	}
	early := named("another") // its name comes first, it does not
	condition(t, early, "Ready", "False TooManyTrails", "may have 5 Trails", "ask the installer", "trailsPerNamespace")
	late := named("last")
	condition(t, late, "Ready", "False TooManyTrails")
	condition(t, late, "Stalled", "True TooManyTrails")
	condition(t, late, "BucketReady", "Unknown Pending")
	absent(t, late, "Reconciling")

	other := create(t, tenant(t, "places-elsewhere"))
	condition(t, other, "Ready", "True Recording")
	stop()
	start(t, e)
	for _, trail := range first {
		touch(t, trail)
		condition(t, trail, "Ready", "True Recording")
	}
	for _, trail := range []*v1alpha1.Trail{early, late} {
		touch(t, trail)
		condition(t, trail, "Ready", "False TooManyTrails")
		if e.receiver.trail(string(trail.UID)) != nil {
			t.Errorf("%s is rendered", trail.Name)
		}
	}

	leave := func(trail *v1alpha1.Trail) {
		t.Helper()
		if err := admin.Delete(t.Context(), trail); err != nil {
			t.Fatal(err)
		}
		condition(t, trail, "Ready", "False Deleting")
		e.receiver.set(string(trail.UID), func(s *receiverstatus.Trail) { s.Flushed = true })
		gone(t, trail)
	}
	leave(first[2])
	next, waiting := early, late
	if early.CreationTimestamp.After(late.CreationTimestamp.Time) {
		t.Fatal("created out of order")
	}
	condition(t, next, "Ready", "True Recording")
	condition(t, waiting, "Ready", "False TooManyTrails")

	// One that waits goes without a trace, and leaves no place.
	if err := admin.Delete(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	gone(t, waiting)
	if l, err := e.receiver.load(t.Context()); err != nil || slices.ContainsFunc(l.Trails, isUID(string(waiting.UID))) {
		t.Errorf("it was rendered: %v", err)
	}
	condition(t, named("one-more"), "Ready", "False TooManyTrails")
}
