package installation

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// sameShard returns trails whose files are in one Secret.
func sameShard(n int) (trails []receiverconfig.Trail) {
	shard := manifests.ReceiverShard(numbered(0).UID, false)
	for i := 0; len(trails) < n; i++ {
		if t := numbered(i); manifests.ReceiverShard(t.UID, false) == shard {
			trails = append(trails, t)
		}
	}
	return trails
}

// TestHandOver: a manager stands by while another renders, and leads then.
func TestHandOver(t *testing.T) {
	s := newSecrets(t)
	standby := NewPublisher(s, "system")
	if err := standby.Begin(t.Context(), testBase()); err != nil { // it is the first that starts
		t.Fatal(err)
	}
	leader := newPublisher(t, s)
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
	if c := s.config(t); !slices.Equal(c.TrustedProxies, []string{"10.0.0.0/16"}) {
		t.Errorf("rendered %v", c.TrustedProxies)
	}
}

// config is receiver.json as it is stored.
func (s *secrets) config(t *testing.T) receiverconfig.Config {
	t.Helper()
	c, err := receiverconfig.ParseConfig(s.get(t, manifests.ReceiverConfigName).Data[receiverconfig.FileConfig])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *secrets) get(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	var stored corev1.Secret
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: name}, &stored); err != nil {
		t.Fatal(err)
	}
	return &stored
}

// TestSpoiledConfig: whatever becomes of receiver.json, no other that a receiver
// cannot load takes its place, and what only it held is kept.
func TestSpoiledConfig(t *testing.T) {
	forward := &receiverconfig.ForwardTo{URL: "http://falco:8765", TimeoutSeconds: 5, QueueBytes: receiverconfig.MinForwardQueueBytes}
	kinds := []receiverconfig.Kind{{Group: "example.com", Resource: "widgets", Kind: "Widget"}}
	for name, spoil := range map[string]func(data map[string][]byte){
		"another version": func(data map[string][]byte) {
			data[receiverconfig.FileConfig] = bytes.Replace(data[receiverconfig.FileConfig], []byte("{"), []byte(`{"later":1,`), 1)
		},
		"another type": func(data map[string][]byte) {
			data[receiverconfig.FileConfig] = bytes.Replace(data[receiverconfig.FileConfig], []byte(`"version":1`), []byte(`"version":"2"`), 1)
		},
		"empty":       func(data map[string][]byte) { data[receiverconfig.FileConfig] = []byte("{}") },
		"no JSON":     func(data map[string][]byte) { data[receiverconfig.FileConfig] = []byte("{") },
		"key is gone": func(data map[string][]byte) { delete(data, receiverconfig.FileServerKey) },
		"all is gone": func(data map[string][]byte) { clear(data) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecrets(t)
			p := newPublisher(t, s)
			for _, err := range []error{
				p.Put(t.Context(), numbered(1)), p.SetKinds(t.Context(), kinds), p.SetForwardTo(t.Context(), forward),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			before := s.config(t)
			stored := s.get(t, manifests.ReceiverConfigName)
			spoil(stored.Data)
			if err := s.Update(t.Context(), stored); err != nil {
				t.Fatal(err)
			}

			// One that has just begun to lead may not know enough, and waits.
			next := NewPublisher(s, "system")
			changed := numbered(1)
			changed.Generation++
			writes, _ := s.total()
			if err := next.Put(t.Context(), changed); !errors.Is(err, errNoBase) {
				t.Errorf("a manager that does not know the installation: %v", err)
			}
			if d := cmp.Diff(stored.Data, s.get(t, manifests.ReceiverConfigName).Data, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("and it has written: %s", d)
			}
			if now, _ := s.total(); now != writes {
				t.Errorf("and it has written %d Secrets", now-writes)
			}

			// The one that leads meets it at the next change of a trail.
			for range 2 {
				_ = p.Put(t.Context(), changed) // the first time it notices
			}
			if got := s.whole(t); len(got) != 1 {
				t.Errorf("%v are stored", got)
			}
			after := s.config(t)
			if after.Generation <= before.Generation || !cmp.Equal(after.Kinds, before.Kinds) || !cmp.Equal(after.ForwardTo, before.ForwardTo) {
				t.Errorf("generation %d after %d, kinds %v, forward to %v", after.Generation, before.Generation, after.Kinds, after.ForwardTo)
			}
			if d := cmp.Diff(before.Installation, after.Installation); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestMendedByTheKeeper: so does the next look at the installation's part, and
// that of a manager that leads anew takes over what another version has left.
func TestMendedByTheKeeper(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	kinds := []receiverconfig.Kind{{Group: "example.com", Resource: "widgets", Kind: "Widget"}}
	if err := p.SetKinds(t.Context(), kinds); err != nil {
		t.Fatal(err)
	}
	before := s.config(t)
	for _, of := range []*Publisher{p, NewPublisher(s, "system")} {
		stored := s.get(t, manifests.ReceiverConfigName)
		stored.Data[receiverconfig.FileConfig] = append([]byte(`{"later":[1],`), stored.Data[receiverconfig.FileConfig][1:]...)
		if err := s.Update(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		if err := of.SetBase(t.Context(), testBase()); err != nil {
			t.Fatal(err)
		}
		s.whole(t)
		if after := s.config(t); after.Generation <= before.Generation || !cmp.Equal(after.Kinds, before.Kinds) {
			t.Errorf("generation %d after %d, kinds %v", after.Generation, before.Generation, after.Kinds)
		}
	}
}

// TestTrailsOfAnotherVersion: their files are rendered anew at once, all of
// them, so that a receiver of this version can load its configuration.
func TestTrailsOfAnotherVersion(t *testing.T) {
	s := newSecrets(t)
	before := newPublisher(t, s)
	trails := sameShard(3)
	for _, trail := range trails {
		if err := before.Put(t.Context(), trail); err != nil {
			t.Fatal(err)
		}
	}
	shard := manifests.ReceiverShardName(manifests.ReceiverShard(trails[0].UID, false))
	stored := s.get(t, shard)
	for i, old := range []string{`{"formerly":1,`, `{"suspended":"no",`} {
		name := receiverconfig.TrailFile(trails[i].UID)
		stored.Data[name] = append([]byte(old), stored.Data[name][1:]...)
	}
	if err := s.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}

	p := NewPublisher(s, "system")
	for _, want := range trails { // a trail may be reconciled before
		got, ok, err := p.Trail(t.Context(), want.UID)
		if d := cmp.Diff(want, got); d != "" || !ok || err != nil {
			t.Errorf("%v, %v: %s", ok, err, d)
		}
	}
	if err := p.SetBase(t.Context(), testBase()); err != nil {
		t.Fatal(err)
	}
	s.whole(t)
	for name, raw := range s.get(t, shard).Data {
		if _, err := receiverconfig.ParseTrail(raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	// What is no file of a trail is none.
	stored = s.get(t, shard)
	stored.Data[receiverconfig.TrailFile(trails[0].UID)] = []byte("{")
	if err := s.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	p = newPublisher(t, s)
	if _, ok, err := p.Trail(t.Context(), trails[0].UID); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if err := p.Put(t.Context(), trails[0]); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := p.Trail(t.Context(), trails[0].UID); !ok {
		t.Error("it is not rendered anew")
	}
}
