package trail

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// TestFileOfAnotherVersion: a trail that another version has rendered is one
// that records. It is flushed before it goes.
func TestFileOfAnotherVersion(t *testing.T) {
	l := newLifetime(t, static)
	key := client.ObjectKey{Namespace: "system", Name: manifests.ReceiverShardName(manifests.ReceiverShard("u", false))}
	var stored corev1.Secret
	if err := l.Client.Get(t.Context(), key, &stored); err != nil {
		t.Fatal(err)
	}
	name := receiverconfig.TrailFile("u")
	stored.Data[name] = append([]byte(`{"formerly":1,`), stored.Data[name][1:]...)
	if err := l.Client.Update(t.Context(), &stored); err != nil {
		t.Fatal(err)
	}
	l.Installation.Publisher = NewPublisher(t, l.Client)
	l.receiver(receiverstatus.Trail{Generation: 1})
	l.delete(t, 0)
	if file, ok := l.rendered(t); !ok || !file.Deleting || file.Destination.AccessKeyID != static.AccessKeyID {
		t.Errorf("rendered: %v, to be flushed: %v", ok, file.Deleting)
	}
	if err := l.Client.Get(t.Context(), key, &stored); err != nil {
		t.Fatal(err)
	}
	if _, err := receiverconfig.ParseTrail(stored.Data[name]); err != nil {
		t.Errorf("it keeps the receiver from loading anything: %v", err)
	}
}

// away does not answer to the next write of receiver.json.
type away struct {
	client.Client
	once bool
}

func (a *away) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	if s, ok := o.(interface{ GetName() *string }); ok && a.once && *s.GetName() == manifests.ReceiverConfigName {
		a.once = false
		return errors.New("the API server is away")
	}
	return a.Client.Apply(ctx, o, opts...)
}

// TestRemovedHalfWay: a trail does not go before the receiver's configuration
// is whole again.
func TestRemovedHalfWay(t *testing.T) {
	l := newLifetime(t, static)
	api := &away{Client: l.Client}
	l.Installation.Publisher = NewPublisher(t, api)
	l.receiver(receiverstatus.Trail{Generation: 1})
	l.delete(t, 0)
	l.receiver(receiverstatus.Trail{Generation: 2, Flushed: true})
	deleted := l.trail.DeepCopy()
	deleted.DeletionTimestamp, deleted.Generation = l.trail.CreationTimestamp.DeepCopy(), 2
	api.once = true
	if _, err := l.newScope(deleted).delete(t.Context()); err == nil || api.once {
		t.Fatalf("the API server was not away: %v", err)
	}
	if _, ok := l.rendered(t); ok {
		t.Fatal("it failed before half of the way")
	}
	l.delete(t, 0)
	var base corev1.Secret
	if err := l.Client.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: manifests.ReceiverConfigName}, &base); err != nil {
		t.Fatal(err)
	}
	c, err := receiverconfig.ParseConfig(base.Data[receiverconfig.FileConfig])
	if err != nil {
		t.Fatal(err)
	}
	if _, listed := c.Files[receiverconfig.TrailFile("u")]; listed {
		t.Error("the trail is gone, and the receiver waits for its file")
	}
}

// TestNewestDigestWaits: a digest that the receiver has told of is no reason to
// render the trail at once, unless the receiver knows of none.
func TestNewestDigestWaits(t *testing.T) {
	l := newLifetime(t, static)
	rendered, ok := l.rendered(t)
	if !ok {
		t.Fatal("nothing is rendered")
	}
	first := rendered
	rendered.LastHead = &record.Head{Sequence: 1}
	newer := &record.Head{Sequence: 2}
	for name, tc := range map[string]struct {
		seen   *receiverstatus.Trail
		change func(*receiverconfig.Trail)
		want   bool
	}{
		"nothing new":         {&receiverstatus.Trail{Head: newer}, func(*receiverconfig.Trail) {}, false},
		"a digest":            {&receiverstatus.Trail{Head: newer}, func(f *receiverconfig.Trail) { f.LastHead = newer }, true},
		"before it was asked": {nil, func(f *receiverconfig.Trail) { f.LastHead = newer }, true},
		"a new volume":        {&receiverstatus.Trail{}, func(f *receiverconfig.Trail) { f.LastHead = newer }, false},
		"something else": {&receiverstatus.Trail{Head: newer}, func(f *receiverconfig.Trail) {
			f.LastHead, f.Suspended = newer, true
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l.Poller.last.Store(nil)
			if tc.seen != nil {
				l.receiver(*tc.seen)
			}
			s := l.newScope(l.trail.DeepCopy())
			s.rendered = &rendered
			file := rendered
			tc.change(&file)
			if got := s.canWait(file); got != tc.want {
				t.Errorf("it can wait: %v, want %v", got, tc.want)
			}
			if s.rendered = &first; s.canWait(file) {
				t.Error("its first digest can wait")
			}
		})
	}
}
