package receiverconfig

import (
	"encoding/json"
	"errors"
)

// Tail lets tails post: programs on the machines of API servers that send what
// stands in their audit logs. A tail has no certificate, but a projected token
// of its ServiceAccount, which the receiver verifies without an API server.
type Tail struct {
	// Issuer of the cluster's service account tokens.
	Issuer string `json:"issuer"`
	// Keys that sign them: a JWK Set (RFC 7517).
	Keys json.RawMessage `json:"keys"`
	// Namespace of the ServiceAccount.
	Namespace string `json:"namespace"`
}

// What a token of a tail says beside that.
const (
	TailAudience       = "trail-receiver"
	TailServiceAccount = "trail-tail"
)

// Headers of the POSTs of a tail, which go to the path of the API server on
// whose machine it runs. The receiver takes each sequence of a source once.
const (
	// HeaderTailSource is a UUID that was drawn when the state of the tail was made.
	HeaderTailSource = "Trail-Source"
	// HeaderTailSequence numbers the POSTs of a source, from 1.
	HeaderTailSequence = "Trail-Sequence"
)

// TailGap is the body of the answer 409: sequences were left out, and nothing of
// the POST is stored.
type TailGap struct {
	// Sequence is the last of which all is stored.
	Sequence uint64 `json:"sequence"`
}

// Bounds of a Tail, in bytes.
const (
	MaxIssuer  = 2000
	MaxKeysLen = 128 << 10
)

func (t *Tail) validate() error {
	switch {
	case t.Issuer == "" || len(t.Issuer) > MaxIssuer:
		return errors.New("the issuer of service account tokens is missing or too long")
	case len(t.Keys) == 0 || string(t.Keys) == "null" || len(t.Keys) > MaxKeysLen:
		return errors.New("the keys of service account tokens are missing or too long")
	case t.Namespace == "" || len(t.Namespace) > 63:
		return errors.New("the namespace of the tails is missing or too long")
	}
	return nil
}
