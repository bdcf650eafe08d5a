package installation

import (
	"testing"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// headed is a trail with a digest of this number.
func headed(i int, sequence int64) receiverconfig.Trail {
	t := numbered(i)
	t.LastHead = &record.Head{Sequence: sequence, Signature: string(make([]byte, 512))}
	return t
}

// TestNewestDigests: when all trails have a new digest, as every full hour, each
// Secret is written once.
func TestNewestDigests(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	const trails = 100
	for i := range trails {
		if err := p.Put(t.Context(), headed(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := s.total()
	for range 3 { // each is reconciled more than once
		for i := range trails {
			p.PutLater(headed(i, 2))
		}
	}
	if after, _ := s.total(); after != before {
		t.Errorf("%d writes of what can wait", after-before)
	}
	for range 2 {
		if err := p.writeLater(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := s.total(); after-before > manifests.ReceiverShards+1 {
		t.Errorf("%d trails, nothing new but heads: %d writes", trails, after-before)
	}
	s.whole(t)
	for i := range trails {
		if got, ok, err := p.Trail(t.Context(), numbered(i).UID); !ok || err != nil || got.LastHead.Sequence != 2 {
			t.Errorf("trail %d: %v, %v, %+v", i, ok, err, got.LastHead)
		}
	}
}

// TestLaterIsNotTooLate: what waits goes with what cannot wait, never over it,
// and never brings back a trail that has gone.
func TestLaterIsNotTooLate(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	for i := range 3 {
		if err := p.Put(t.Context(), headed(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		p.PutLater(headed(i, 2))
	}
	stopped := headed(0, 2)
	stopped.Suspended = true
	if err := p.Put(t.Context(), stopped); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := p.Trail(t.Context(), numbered(0).UID); !got.Suspended {
		t.Error("what waited was written over what could not wait")
	}
	if got, _, _ := p.Trail(t.Context(), numbered(1).UID); got.LastHead.Sequence != 2 {
		t.Error("what waited was not written with what could not wait")
	}
	p.PutLater(headed(2, 3))
	if err := p.Remove(t.Context(), numbered(2).UID); err != nil {
		t.Fatal(err)
	}
	p.PutLater(headed(2, 4))
	if err := p.writeLater(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.whole(t); len(got) != 2 {
		t.Errorf("%v are stored", got)
	}
}
