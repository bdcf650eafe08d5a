package signing

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Publish describes key for verifiers. before is the key that it replaces and
// that vouches for it; nil for the first key of an installation.
func Publish(key PublicKey, from time.Time, before *PrivateKey) (record.PublishedKey, error) {
	p := record.PublishedKey{
		Fingerprint:   key.Fingerprint(),
		SHA256:        key.Trust(),
		Value:         key.DER(),
		ValidityStart: from.UTC().Format(record.TimeFormat),
	}
	if before == nil {
		return p, nil
	}
	signature, err := before.Sign(p.Value)
	if err != nil {
		return record.PublishedKey{}, err
	}
	p.SignedBy, p.Signature = before.Fingerprint(), signature
	return p, nil
}

// ParsePublished reads the JSON of a published key and checks that it describes
// the key it carries. Who vouches for the key is CheckSuccession's question.
func ParsePublished(b []byte) (record.PublishedKey, PublicKey, error) {
	var p record.PublishedKey
	if err := json.Unmarshal(b, &p); err != nil {
		return record.PublishedKey{}, PublicKey{}, fmt.Errorf("published key: it is not valid JSON of a key")
	}
	key, err := Open(p)
	return p, key, err
}

// Open returns the public key that p carries, after checking that p's
// fingerprint, SHA-256 and validity describe it.
func Open(p record.PublishedKey) (PublicKey, error) {
	key, err := ParsePublicKey(p.Value)
	if err != nil {
		return PublicKey{}, err
	}
	if p.Fingerprint != key.Fingerprint() || p.SHA256 != key.Trust() {
		return PublicKey{}, fmt.Errorf("published key: fingerprint or SHA-256 is that of another key")
	}
	if _, err := time.Parse(record.TimeFormat, p.ValidityStart); err != nil {
		return PublicKey{}, fmt.Errorf("published key: validityStartTime is not a UTC time")
	}
	return key, nil
}

// CheckSuccession checks that before vouches for p: that it is the key p names,
// and that its signature over p's key is right. A first key vouches for itself
// to nobody: it returns ErrSignature.
func CheckSuccession(p record.PublishedKey, before PublicKey) error {
	if p.SignedBy == "" || p.SignedBy != before.Fingerprint() {
		return ErrSignature
	}
	return before.Verify(p.Value, p.Signature)
}
