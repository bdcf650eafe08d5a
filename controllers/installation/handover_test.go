package installation

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// sameShard returns trails whose files are in one Secret.
func sameShard(n int) (trails []receiverconfig.Trail) {
	shard := manifests.ReceiverShard(numbered(0).UID)
	for i := 0; len(trails) < n; i++ {
		if t := numbered(i); manifests.ReceiverShard(t.UID) == shard {
			trails = append(trails, t)
		}
	}
	return trails
}

// TestHandOver: a manager stands by while another renders, and leads then.
func TestHandOver(t *testing.T) {
	s := newSecrets(t)
	leader, standby := newPublisher(t, s), NewPublisher(s, "system")
	if err := standby.Begin(t.Context(), Base{}); err != nil {
		t.Fatal(err)
	}
	trails := sameShard(3)
	for _, trail := range trails {
		if err := leader.Put(t.Context(), trail); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := standby.Trail(t.Context(), trails[1].UID); !ok || err != nil {
		t.Errorf("it takes a trail that records for one that never did: %v", err)
	}
	changed := trails[0]
	changed.Generation++
	if err := standby.Put(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if got := s.whole(t); len(got) != len(trails) {
		t.Errorf("of %d trails %d are left", len(trails), len(got))
	}
}

// TestNewShard: a Secret that was not there when a manager looked, and which
// another has made since, keeps its files.
func TestNewShard(t *testing.T) {
	s := newSecrets(t)
	first, second := newPublisher(t, s), newPublisher(t, s)
	trails := sameShard(3)
	for _, trail := range trails[:2] {
		if err := first.Put(t.Context(), trail); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.Put(t.Context(), trails[2]); !apierrors.IsAlreadyExists(err) {
		t.Errorf("the first write: %v", err)
	}
	if got := s.whole(t); len(got) != 2 {
		t.Errorf("a write that was refused has left %d trails", len(got))
	}
	if err := second.Put(t.Context(), trails[2]); err != nil {
		t.Fatal(err)
	}
	if got := s.whole(t); len(got) != 3 {
		t.Errorf("%d trails are stored", len(got))
	}
	// What was made goes again.
	for _, trail := range trails {
		if err := second.Remove(t.Context(), trail.UID); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.whole(t); len(got) != 0 {
		t.Errorf("%v are stored", got)
	}
}

// TestBegin: managers that start at once render one configuration, and none
// changes it before it leads.
func TestBegin(t *testing.T) {
	s := newSecrets(t)
	base := testBase()
	for i := range 3 {
		base.Config.TrustedProxies = []string{fmt.Sprintf("10.%d.0.0/16", i)}
		if err := NewPublisher(s, "system").Begin(t.Context(), base); err != nil {
			t.Fatal(err)
		}
	}
	s.whole(t)
	var stored corev1.Secret
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: manifests.ReceiverConfigName}, &stored); err != nil {
		t.Fatal(err)
	}
	c, err := receiverconfig.ParseConfig(stored.Data[receiverconfig.FileConfig])
	if err != nil || !slices.Equal(c.TrustedProxies, []string{"10.0.0.0/16"}) {
		t.Errorf("rendered %v, %v", c.TrustedProxies, err)
	}
}
