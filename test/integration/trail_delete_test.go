package integration

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func TestDelete(t *testing.T) {
	e := startEnv(t)
	ns := tenant(t, "delete")
	trail := create(t, ns)
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	// The namespace's controller deletes the Secret first, as it pleases.
	if err := admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bucket"}}); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	condition(t, trail, "Ready", "False Deleting")
	eventually(t, func() string {
		if l := e.receiver.trail(uid); l == nil || !l.Deleting || !l.Suspended || l.Destination.SecretAccessKey != "planted-secret" {
			return "the rendered trail, deleting, with its credentials"
		}
		return ""
	})
	// An edit while it goes ends nothing a second time.
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Delivery.MaxFileAgeSeconds = 60 })
	eventually(t, func() string {
		if l := e.receiver.trail(uid); l.Generation != trail.Generation {
			return "the newer generation"
		}
		return ""
	})
	want := []string{"CreateTrail", "StartLogging", "StopLogging", "DeleteTrail"}
	if d := cmp.Diff(want, e.receiver.recorded(uid)); d != "" {
		t.Errorf("recorded: %s", d)
	}
	before := len(e.bucket(ns).Objects())
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
	gone(t, trail)
	eventually(t, func() string {
		if e.receiver.trail(uid) != nil {
			return "the end of the rendered trail"
		}
		return ""
	})
	if len(e.bucket(ns).Objects()) != before {
		t.Error("deleting a Trail deleted objects")
	}
}

func TestDeleteGivesUp(t *testing.T) {
	for name, away := range map[string]bool{"not-flushed": false, "receiver-away": true} {
		t.Run(name, func(t *testing.T) {
			e := startEnv(t)
			ns := tenant(t, "give-up-"+name)
			trail := create(t, ns)
			condition(t, trail, "Ready", "True Recording")
			e.receiver.do(func(r *receiver) { r.away = away })
			if err := admin.Delete(t.Context(), trail); err != nil {
				t.Fatal(err)
			}
			condition(t, trail, "Ready", "False Deleting")
			e.clock.step(11 * time.Minute)
			gone(t, trail)
			eventually(t, func() string {
				var list eventsv1.EventList
				if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
					return err.Error()
				}
				for _, ev := range list.Items {
					if ev.Reason == "Abandoned" && ev.Type == corev1.EventTypeWarning {
						return ""
					}
				}
				return "an Event with the reason Abandoned"
			})
			if l, err := e.receiver.load(t.Context()); err != nil || slices.ContainsFunc(l.Trails, isUID(string(trail.UID))) {
				t.Errorf("it is still rendered: %v", err)
			}
		})
	}
}

// TestFinalizerRemovedByHand: the receiver must not record for ever for a
// Trail that went without us.
func TestFinalizerRemovedByHand(t *testing.T) {
	e := newEnv(t)
	stop := start(t, e)
	trail := create(t, tenant(t, "by-hand"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	stop()
	trail.Finalizers = nil
	if err := admin.Update(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	gone(t, trail)
	start(t, e)
	looks := 0
	eventually(t, func() string {
		// It is missed twice, a minute apart, before it is ended.
		if looks++; looks%50 == 0 && looks < 350 {
			e.clock.step(61 * time.Second)
		}
		if l := e.receiver.trail(uid); l == nil || !l.Deleting {
			return "the order to stop"
		}
		return ""
	})
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
	looks = 0
	eventually(t, func() string {
		// The manager may have swept with the status of before: it sweeps once
		// a minute, and gives up waiting only after ten.
		if looks++; looks%50 == 1 && looks < 350 {
			e.clock.step(61 * time.Second)
		}
		if e.receiver.trail(uid) != nil {
			return "the end of the rendered trail"
		}
		return ""
	})
}
