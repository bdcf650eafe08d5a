package trail

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// TestFileOfAnotherVersion: a trail that another version has rendered is one
// that records. It is flushed before it goes.
func TestFileOfAnotherVersion(t *testing.T) {
	l := newLifetime(t, static)
	key := client.ObjectKey{Namespace: "system", Name: manifests.ReceiverShardName(manifests.ReceiverShard("u"))}
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
