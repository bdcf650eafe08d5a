package installation

import (
	"errors"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// fill has a tenant put trails of every size into one shard, and let them grow,
// until nothing more fits.
func fill(t *testing.T, p *Publisher, shard int) {
	t.Helper()
	with := func(trail receiverconfig.Trail, token int) receiverconfig.Trail {
		trail.Destination.SessionToken = strings.Repeat("x", token)
		return trail
	}
	put := func(trail receiverconfig.Trail) bool {
		err := p.Put(t.Context(), trail)
		if err != nil && !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		return err == nil
	}
	i := 1_000_000
	for _, size := range []int{400_000, 120_000, 30_000, 5_000, 0} {
		for {
			for i++; manifests.ReceiverShard(numbered(i).UID, false) != shard; i++ {
			}
			if !put(with(numbered(i), size)) {
				break
			}
			for n := size + 3_000; n < size+20_000 && put(with(numbered(i), n)); n += 3_000 {
			}
		}
	}
}

// TestTenantsFillAShard: what a tenant does keeps nobody else's trail from
// being changed, stopped and deleted.
func TestTenantsFillAShard(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	small, large, organization := numbered(1), numbered(2), numbered(3)
	shard := manifests.ReceiverShard(small.UID, false)
	for i := 4; manifests.ReceiverShard(large.UID, false) != shard; i++ {
		large = numbered(i)
	}
	large.Destination.CA = make([]byte, 20_000)
	organization.Name, organization.Namespace = "audit", ""
	for _, trail := range []receiverconfig.Trail{small, large, organization} {
		if err := p.Put(t.Context(), trail); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, p, shard)
	if n := manifests.DataSize(s.get(t, manifests.ReceiverShardName(shard)).Data); n > manifests.MaxSecretData || n < manifests.MaxSecretData/4 {
		t.Fatalf("the shard holds %d bytes", n)
	}

	for _, trail := range []receiverconfig.Trail{small, organization} {
		trail.Generation++
		trail.Destination.SessionToken = strings.Repeat("t", 2_000)
		if err := p.Put(t.Context(), trail); err != nil {
			t.Errorf("%s, a longer token: %v", trail.Name, err)
		}
	}
	organization.Destination.CA = make([]byte, 60_000)
	if err := p.Put(t.Context(), organization); err != nil {
		t.Errorf("an OrganizationTrail: %v", err)
	}
	for _, trail := range []receiverconfig.Trail{small, large, organization} {
		for _, stop := range []func(){func() { trail.Suspended = true }, func() { trail.Deleting = true }} {
			stop()
			trail.Generation = 123456789
			if err := p.Put(t.Context(), trail); err != nil {
				t.Errorf("%s cannot be stopped: %v", trail.UID, err)
			}
		}
		if err := p.Remove(t.Context(), trail.UID); err != nil {
			t.Errorf("%s cannot go: %v", trail.UID, err)
		}
	}
	s.whole(t)
}

// TestStaysInItsShard: a file that is in another shard than it would begin in
// now is changed and removed there.
func TestStaysInItsShard(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	trail := numbered(1)
	if err := p.Put(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	trail.Name, trail.Namespace = "audit", "" // begins elsewhere
	if err := p.Put(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	if got := s.whole(t); len(got) != 1 || len(s.get(t, manifests.ReceiverShardName(manifests.ReceiverShard(trail.UID, false))).Data) != 1 {
		t.Errorf("%v are stored", got)
	}
	if err := p.Remove(t.Context(), trail.UID); err != nil {
		t.Fatal(err)
	}
	if got := s.whole(t); len(got) != 0 {
		t.Errorf("%v are stored", got)
	}
}
