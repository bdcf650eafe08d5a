package verify

import (
	"slices"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

func TestKeys(t *testing.T) {
	stranger, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	forge := func(t *testing.T, f *fixture) string {
		published, err := signing.Publish(stranger.Public(), at("09:00:00"), nil)
		if err != nil {
			t.Fatal(err)
		}
		key := f.Layout.DigestKey(published.Fingerprint)
		f.Put(t, key, record.MustJSON(published), nil)
		return key
	}
	t.Run("a foreign key beside the pinned one", func(t *testing.T) {
		f := newFixture(t)
		key := forge(t, f)
		wantFindings(t, f.run(t, f.options()), Finding{Kind: KeyUntrusted, Key: key})
	})
	t.Run("two first keys and no pin", func(t *testing.T) {
		f := newFixture(t)
		key := forge(t, f)
		o := f.options()
		o.Trust, o.Heads = "", nil
		wantFindings(t, f.run(t, o), Finding{Kind: KeyUntrusted, Key: key},
			Finding{Kind: KeyUntrusted, Key: f.Layout.DigestKey(f.Keys[0].Fingerprint)})
	})
	t.Run("a trail forged with another key", func(t *testing.T) {
		f := newFixture(t)
		o := f.options()
		o.Heads = nil
		o.Trust = stranger.Trust()
		r := f.run(t, o)
		if r.Digests.Valid != 0 || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == KeyUntrusted && f.Key == stranger.Trust() }) {
			t.Errorf("digests of a key that is not pinned are valid: %+v", r)
		}
	})
	t.Run("a successor that nobody signed", func(t *testing.T) {
		f := newFixture(t)
		f.Key = stranger
		published, err := signing.Publish(stranger.Public(), at("14:00:00"), stranger)
		if err != nil {
			t.Fatal(err)
		}
		published.SignedBy = f.Keys[0].Fingerprint
		key := f.Layout.DigestKey(published.Fingerprint)
		f.Put(t, key, record.MustJSON(published), nil)
		f.Hours(t, 1, 0)
		wantFindings(t, f.run(t, f.options()), Finding{Kind: KeyUntrusted, Key: key}, Finding{Kind: KeyUntrusted, Key: f.Digests[5]})
	})
	t.Run("a key that was deleted from the bucket", func(t *testing.T) {
		f := emptyFixture(t)
		f.Hours(t, 1, 0)
		f.store.Delete(f.Layout.DigestKey(f.Keys[0].Fingerprint))
		o := f.options()
		wantFindings(t, f.run(t, o), Finding{Kind: KeyUntrusted, Key: f.Keys[0].SHA256}, Finding{Kind: KeyUnknown, Key: f.Digests[0]})
		o.Keys = f.Keys // from the cluster
		r := f.run(t, o)
		wantFindings(t, r)
		if r.KeySource != KeysGiven || !r.KeysPinned {
			t.Errorf("keys are %s, pinned %v", r.KeySource, r.KeysPinned)
		}
	})
	t.Run("a damaged and an oversized key", func(t *testing.T) {
		f := newFixture(t)
		f.Put(t, f.Layout.DigestKey("00"), []byte("{"), nil)
		f.Put(t, f.Layout.DigestKey("01"), make([]byte, maxPlain+1), nil)
		wantFindings(t, f.run(t, f.options()), Finding{Kind: KeyInvalid, Key: f.Layout.DigestKey("00")}, Finding{Kind: KeyInvalid, Key: f.Layout.DigestKey("01")})
	})
	t.Run("no pin", func(t *testing.T) {
		f := newFixture(t)
		o := f.options()
		o.Trust, o.Heads = "", nil
		r := f.run(t, o)
		if r.KeysPinned || !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "not pinned") }) {
			t.Errorf("the result does not say that the keys are not pinned: %+v", r)
		}
	})
}

// usurp publishes a key that claims to have signed the trail's first one.
func (f *fixture) usurp(t *testing.T, stranger *signing.PrivateKey) {
	t.Helper()
	root, err := signing.Publish(stranger.Public(), at("09:00:00"), nil)
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := signing.Open(f.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	successor, err := signing.Publish(genuine, at("09:20:00"), stranger)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(t, f.Layout.DigestKey(root.Fingerprint), record.MustJSON(root), nil)
	f.store.Overwrite(f.Layout.DigestKey(successor.Fingerprint), record.MustJSON(successor))
}

// TestHeadPinsItsKey: whoever can write to the bucket, and has no key of ours,
// cannot continue the trail behind a head that was kept.
func TestHeadPinsItsKey(t *testing.T) {
	stranger, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a forged continuation", func(t *testing.T) {
		f := emptyFixture(t)
		f.Hours(t, 2, 2)
		o := f.options()
		o.Trust = ""
		f.usurp(t, stranger)
		f.Key = stranger
		f.Hours(t, 3, 1)
		r := f.run(t, o)
		for _, key := range f.Digests[2:] {
			if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == KeyUntrusted && f.Key == key }) {
				t.Errorf("%s is signed with a key that only claims to be the first: %+v", key, r.Findings)
			}
		}
		if r.Digests.Valid != 2 {
			t.Errorf("%d digests are valid, want the two up to the head", r.Digests.Valid)
		}
	})
	t.Run("rotations before and after the head", func(t *testing.T) {
		f := emptyFixture(t)
		for range 2 {
			f.Hours(t, 1, 1)
			f.Rotate(t)
		}
		f.Hours(t, 1, 1)
		o := f.options() // with a head of the third key
		o.Trust = ""
		f.Rotate(t)
		f.Hours(t, 1, 1)
		wantFindings(t, f.run(t, o))
	})
}
