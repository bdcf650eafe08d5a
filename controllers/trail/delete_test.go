package trail

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// lifetime is a reconciler with one trail, whose configuration is kept by a
// fake API server.
type lifetime struct {
	*Reconciler
	trail    *v1alpha1.Trail
	clock    *clocktesting.FakePassiveClock
	received *recorder
	told     *told
}

// newLifetime makes a trail that the receiver records, in generation 1.
func newLifetime(t *testing.T, credentials manifests.Credentials) *lifetime {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "audit", UID: "u", Generation: 1, Finalizers: []string{v1alpha1.Finalizer}, CreationTimestamp: metav1.NewTime(noon),
	}}
	trail.Spec.Destination.Bucket = "logs"
	trail.Status.StartLoggingTime = &metav1.Time{Time: noon}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(trail).WithStatusSubresource(&v1alpha1.Trail{}).Build()
	l := &lifetime{
		trail: trail, clock: clocktesting.NewFakePassiveClock(noon),
		received: &recorder{ids: map[string]bool{}}, told: &told{},
	}
	in := &installation.Installation{Publisher: NewPublisher(t, c)}
	l.Reconciler = &Reconciler{
		Kind: Namespaced{}, Client: c, Config: &managerconfig.Config{TrailsPerNamespace: 5}, Installation: in,
		Receiver: l.received, Events: l.told, Clock: l.clock, Poller: &Poller{Abandoned: NewAbandoned()},
	}
	l.render(t, manifests.Trail(trail, receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"}, credentials, manifests.Reach{}))
	return l
}

func (l *lifetime) render(t *testing.T, file receiverconfig.Trail) {
	t.Helper()
	if err := l.Installation.Publisher.Put(t.Context(), file); err != nil {
		t.Fatal(err)
	}
}

func (l *lifetime) rendered(t *testing.T) (receiverconfig.Trail, bool) {
	t.Helper()
	file, ok, err := l.Installation.Publisher.Trail(t.Context(), "u")
	if err != nil {
		t.Fatal(err)
	}
	return file, ok
}

// receiver answers so from now on.
func (l *lifetime) receiver(s receiverstatus.Trail) {
	s.UID = "u"
	l.Poller.last.Store(&receiverstatus.Status{Trails: []receiverstatus.Trail{s}})
}

// delete looks at the trail as one that was deleted so long ago.
func (l *lifetime) delete(t *testing.T, ago time.Duration) {
	t.Helper()
	if err := l.Client.Get(t.Context(), client.ObjectKeyFromObject(l.trail), l.trail); err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(l.clock.Now().Add(-ago))
	deleted := l.trail.DeepCopy()
	deleted.DeletionTimestamp, deleted.Generation = &at, 2
	if _, err := l.newScope(deleted).delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var static = manifests.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}

// TestDeletedWhileAway: the receiver is asked to deliver what is left, however
// long ago the trail was deleted, and has its ten minutes for that.
func TestDeletedWhileAway(t *testing.T) {
	l := newLifetime(t, static)
	l.receiver(receiverstatus.Trail{Generation: 1})
	l.delete(t, time.Hour)
	if !slices.Contains(l.received.names, record.EventDeleteTrail) {
		t.Error("no DeleteTrail was recorded")
	}
	if file, ok := l.rendered(t); !ok || !file.Deleting {
		t.Fatalf("the receiver was not asked to deliver the rest; Events %v", l.told.reasons)
	}
	l.clock.SetTime(noon.Add(flushTimeout))
	l.delete(t, time.Hour)
	if _, ok := l.rendered(t); !ok || testutil.ToFloat64(l.Poller.Abandoned) != 0 {
		t.Fatal("the receiver had no time to deliver the rest")
	}
	l.clock.SetTime(noon.Add(flushTimeout + time.Second))
	l.delete(t, time.Hour)
	if _, ok := l.rendered(t); ok || testutil.ToFloat64(l.Poller.Abandoned) != 1 {
		t.Error("the trail did not go after ten minutes")
	}
}

// TestFlushedIsNotAbandoned, even when nobody has looked for long.
func TestFlushedIsNotAbandoned(t *testing.T) {
	l := newLifetime(t, static)
	l.delete(t, 0)
	l.receiver(receiverstatus.Trail{Generation: 2, Flushed: true})
	l.clock.SetTime(noon.Add(time.Hour))
	l.delete(t, time.Hour)
	if _, ok := l.rendered(t); ok {
		t.Error("it is still there")
	}
	if n := testutil.ToFloat64(l.Poller.Abandoned); n != 0 || slices.Contains(l.told.reasons, v1alpha1.ReasonAbandoned) {
		t.Errorf("%v trails are abandoned, Events %v", n, l.told.reasons)
	}
}

// TestIdentityIsRevoked: whoever has lost the right to the operator's identity
// does not keep it by making the trail invalid, or by deleting it.
func TestIdentityIsRevoked(t *testing.T) {
	for name, look := range map[string]func(*testing.T, *lifetime){
		"invalid": func(t *testing.T, l *lifetime) {
			l.trail.Spec.Destination.CA = "-----BEGIN CERTIFICATE-----" // passes the API server
			if err := l.Client.Update(t.Context(), l.trail); err != nil {
				t.Fatal(err)
			}
			request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(l.trail)}
			if _, err := l.Reconcile(t.Context(), request); err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(t *testing.T, l *lifetime) { l.delete(t, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLifetime(t, manifests.Credentials{Ambient: true}) // the installer has taken the namespace out since
			look(t, l)
			if file, ok := l.rendered(t); !ok || file.Destination.Ambient {
				t.Errorf("it is rendered %v, with the operator's identity %v", ok, file.Destination.Ambient)
			}
		})
	}
}

// during lists no trail, and something happens meanwhile.
type during struct {
	Namespaced
	happens func()
}

func (k during) List(context.Context, client.Reader) ([]*v1alpha1.Trail, error) {
	k.happens()
	return nil, nil
}

type answering struct{}

func (answering) Status(context.Context) (*receiverstatus.Status, error) {
	return &receiverstatus.Status{}, nil
}
func (answering) Record(context.Context, ...record.OwnEvent) error { return nil }

// TestSweepLooksTwice: a trail that is rendered after the trails were listed is
// not gone.
func TestSweepLooksTwice(t *testing.T) {
	l := newLifetime(t, static)
	file, _ := l.rendered(t)
	if err := l.Installation.Publisher.Remove(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	p := &Poller{Receiver: answering{}, Clock: l.clock, Client: l.Client, Installation: l.Installation, Abandoned: NewAbandoned()}
	p.subscribe(during{happens: func() { l.render(t, file) }})
	p.poll(t.Context(), logr.Discard())
	if got, ok := l.rendered(t); !ok || got.Deleting || got.Suspended {
		t.Fatalf("a trail that was created this moment is told to stop (%v): %+v", ok, got)
	}
	l.clock.SetTime(noon.Add(sweepInterval))
	p.poll(t.Context(), logr.Discard())
	if got, ok := l.rendered(t); !ok || !got.Deleting {
		t.Errorf("a trail that is gone goes on (%v): %+v", ok, got)
	}
}

// TestNobodyIsToldBeforeTheReceiverIsAsked: at its start the manager does not know
// yet whether the receiver answers.
func TestNobodyIsToldBeforeTheReceiverIsAsked(t *testing.T) {
	l := newLifetime(t, static)
	l.Poller.subscribe(Namespaced{})
	l.Poller.Receiver, l.Poller.Clock, l.Poller.Client, l.Poller.Installation = answering{}, l.clock, l.Client, l.Installation
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(l.trail)}
	look := func() v1alpha1.TrailStatus {
		result, err := l.Reconcile(t.Context(), request)
		if err != nil || result.RequeueAfter == 0 {
			t.Fatalf("it is not looked at again: %+v, %v", result, err)
		}
		var now v1alpha1.Trail
		if err := l.Client.Get(t.Context(), request.NamespacedName, &now); err != nil {
			t.Fatal(err)
		}
		return now.Status
	}
	if got := look(); len(got.Conditions) > 0 || len(l.told.reasons) > 0 {
		t.Errorf("conditions %v, Events %v", got.Conditions, l.told.reasons)
	}
	l.Poller.poll(t.Context(), logr.Discard())
	if got := look(); len(got.Conditions) == 0 {
		t.Error("no condition after the receiver has answered")
	}
}
