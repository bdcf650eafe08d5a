package serviceaccount

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a set of keys.
const (
	// MaxKeysSize is the longest JWK Set that is read, in bytes.
	MaxKeysSize = 128 << 10
	maxKeys     = 64
	minRSABits  = 2048
	maxRSABits  = 8192
)

var errKeys = errors.New("the keys of service account tokens are no JWK Set")

// ParseKeys reads the JWK Set of an API server. Keys that could not verify a
// token are left out: of other types, too weak, or without a name. At least one
// must remain.
func ParseKeys(set []byte) (*jose.JSONWebKeySet, error) {
	if len(set) > MaxKeysSize {
		return nil, fmt.Errorf("the keys of service account tokens are longer than %d bytes", MaxKeysSize)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(set, &raw) != nil {
		return nil, errKeys
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("there are more than %d keys of service account tokens", maxKeys)
	}
	out := &jose.JSONWebKeySet{}
	for _, one := range raw.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(one) != nil || !usable(&k) {
			continue
		}
		out.Keys = append(out.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.KeyID, Algorithm: k.Algorithm, Use: "sig"})
	}
	if len(out.Keys) == 0 {
		return nil, errors.New("there is no key that service account tokens could be verified with")
	}
	return out, nil
}

// usable accepts public keys of API servers.
func usable(k *jose.JSONWebKey) bool {
	if k.KeyID == "" || len(k.KeyID) > 1024 || k.Use != "" && k.Use != "sig" {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits && key.E >= 3
	case *ecdsa.PublicKey:
		return true // go-jose reads the curves P-256, P-384 and P-521 and points on them
	}
	return false
}
