package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

// maxKeys bounds the public keys of one installation.
const maxKeys = 1000

// keyring holds the public keys by fingerprint.
type keyring struct {
	source string
	pinned bool
	known  map[string]publicKey
}

type publicKey struct {
	signing.PublicKey
	published record.PublishedKey
	where     string // object key, or the fingerprint of a given key
	trusted   bool
	// until is the end of the last digest that may be signed with it; zero means
	// no end.
	until time.Time
}

// signs tells whether a digest that ends at end may be signed with the key.
func (k *publicKey) signs(end time.Time) bool {
	return k.trusted && (k.until.IsZero() || !end.After(k.until))
}

func (v *verifier) loadKeys(ctx context.Context) error {
	v.keys = keyring{source: KeysGiven, pinned: true, known: map[string]publicKey{}}
	if len(v.Keys) > maxKeys {
		return fmt.Errorf("%d public keys were given; at most %d are possible", len(v.Keys), maxKeys)
	}
	for _, p := range v.Keys {
		key, err := signing.Open(p)
		if err != nil {
			return fmt.Errorf("a public key that was given cannot be used: %w", err)
		}
		v.keys.known[p.Fingerprint] = publicKey{PublicKey: key, published: p, where: p.Fingerprint}
	}
	if len(v.Keys) == 0 {
		// A head pins the key that signed it, and its hash all digests before it;
		// see trustKeys.
		v.keys.source, v.keys.pinned = KeysFromBucket, v.Trust != "" || len(v.Heads) > 0
		if err := v.readKeys(ctx); err != nil {
			return err
		}
	}
	v.trustKeys()
	if !v.keys.pinned {
		v.notes = append(v.notes, "The public keys were taken from the bucket itself and are not pinned: "+
			"whoever may write to the bucket could have replaced keys, digests and log files together. Pin the first key with --trust.")
	}
	return nil
}

// readKeys reads the keys that were published in the bucket.
func (v *verifier) readKeys(ctx context.Context) error {
	for info, err := range v.list(ctx, v.Layout.DigestKeys(), "") {
		if err != nil {
			return fmt.Errorf("listing the public keys: %w", err)
		}
		if len(v.keys.known) == maxKeys {
			return fmt.Errorf("there are more than %d public keys below %q", maxKeys, v.Layout.DigestKeys())
		}
		b, err := v.readPlain(ctx, info.Key)
		var d damage
		if errors.As(err, &d) {
			v.findings.add(KeyInvalid, info.Key, "the public key cannot be read: %s", d)
			continue
		}
		if errors.Is(err, objectstore.ErrNotExist) {
			continue // gone since it was listed; a digest that needs it will say so
		}
		if err != nil {
			return fmt.Errorf("reading the public key %q: %w", info.Key, err)
		}
		p, key, err := signing.ParsePublished(b)
		if err != nil {
			v.findings.add(KeyInvalid, info.Key, "the public key cannot be used: %s", err)
			continue
		}
		if info.Key != v.Layout.DigestKey(p.Fingerprint) {
			v.findings.add(KeyInvalid, info.Key, "the public key belongs to another name: its fingerprint is %s", p.Fingerprint)
			continue
		}
		v.keys.known[p.Fingerprint] = publicKey{PublicKey: key, published: p, where: info.Key}
	}
	return nil
}

// trustKeys decides which keys count: the first key and those that follow it by
// signature. Keys that were given from outside need no such proof, unless the
// first key is pinned. Where only heads are known from outside, their keys take
// the place of the first key: any key can claim to have come before.
func (v *verifier) trustKeys() {
	pinnedByHead := v.Trust == "" && v.keys.source == KeysFromBucket && len(v.Heads) > 0
	first := func(k publicKey) bool {
		switch {
		case v.Trust != "":
			return k.Trust() == v.Trust
		case v.keys.source == KeysGiven:
			return true
		case pinnedByHead:
			return slices.ContainsFunc(v.Heads, func(h record.Head) bool { return h.Trust == k.Trust() })
		}
		return k.published.SignedBy == ""
	}
	var queue []publicKey
	successors := map[string][]string{}
	for fingerprint, k := range v.keys.known {
		successors[k.published.SignedBy] = append(successors[k.published.SignedBy], fingerprint)
		if first(k) {
			queue = append(queue, k)
		}
	}
	if v.Trust != "" && len(queue) == 0 {
		v.findings.add(KeyUntrusted, v.Trust, "the pinned public key is not among the %d known ones", len(v.keys.known))
	}
	if v.Trust == "" && v.keys.source == KeysFromBucket && len(queue) > 1 {
		for _, k := range queue {
			v.findings.add(KeyUntrusted, k.where, "it is one of %d public keys that no other key signed; pin the right one with --trust", len(queue))
		}
	}
	for len(queue) > 0 {
		k := queue[0]
		queue = queue[1:]
		if v.keys.known[k.Fingerprint()].trusted {
			continue
		}
		k.trusted = true
		v.keys.known[k.Fingerprint()] = k
		for _, f := range successors[k.Fingerprint()] {
			if next := v.keys.known[f]; !next.trusted && signing.CheckSuccession(next.published, k.PublicKey) == nil {
				queue = append(queue, next)
			}
		}
	}
	if pinnedByHead {
		v.trustPredecessors()
	}
	for _, k := range v.keys.known {
		if !k.trusted {
			v.findings.add(KeyUntrusted, k.where, "no chain of signatures leads from the trusted public key to this one")
		}
	}
}

// trustPredecessors lets the keys before that of a head sign digests up to it:
// those are fixed by the hashes that lead there from the head. What comes later
// is not, so a key that was put before the real ones gains nothing.
func (v *verifier) trustPredecessors() {
	for i := range v.Heads {
		h := &v.Heads[i]
		end, _ := v.digestEnd(h.Object)
		k, ok := v.keys.known[h.Fingerprint]
		if !ok || k.Trust() != h.Trust {
			continue
		}
		for {
			before, known := v.keys.known[k.published.SignedBy]
			if !known || before.trusted && (before.until.IsZero() || !before.until.Before(end)) ||
				signing.CheckSuccession(k.published, before.PublicKey) != nil {
				break
			}
			before.trusted, before.until = true, end
			v.keys.known[before.Fingerprint()] = before
			k = before
		}
	}
}

// replaced tells whether the key before had been replaced, by itself or by keys
// that had, when key was in use: whether signatures lead from before to key.
func (k *keyring) replaced(before, key string) bool {
	for range len(k.known) {
		successor := k.known[key]
		predecessor, ok := k.known[successor.published.SignedBy]
		if !ok || signing.CheckSuccession(successor.published, predecessor.PublicKey) != nil {
			return false
		}
		if key = predecessor.Fingerprint(); key == before {
			return true
		}
	}
	return false
}
