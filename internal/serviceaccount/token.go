// Package serviceaccount verifies projected tokens of Kubernetes
// ServiceAccounts without asking the API server: with its issuer and its keys.
// Tokens come from anybody. It is pure.
package serviceaccount

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// maxToken is the longest token that is looked at, in bytes.
	maxToken = 8 << 10
	// leeway is how far the clocks of API server and verifier may differ.
	leeway = 30 * time.Second
	// maxLifetime of a token: kubelets ask for an hour. Nobody can take a token
	// back, so that one for a year is no identity.
	maxLifetime = 24 * time.Hour
	// maxCached tokens are remembered: each pod has one at a time.
	maxCached = 1024
)

// algorithms are those with which API servers sign. HMAC is not among them: its
// key would be the public one.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512}

// Reasons why a token is refused. None quotes it.
var (
	errLong      = errors.New("the token is too long")
	errMalformed = errors.New("the token is no signed JWT of an API server")
	errKey       = errors.New("the token is signed with a key that is not known here (new keys are known after some minutes)")
	errSignature = errors.New("the signature of the token is wrong")
	errIssuer    = errors.New("the token is of another issuer")
	errAudience  = errors.New("the token is for another audience")
	errEarly     = errors.New("the token is not valid yet")
	errExpired   = errors.New("the token has expired")
	errLifetime  = errors.New("the token has no end, or is valid for more than 24 hours: use a projected token")
	errSubject   = errors.New("the token is not of a ServiceAccount")
	errPod       = errors.New("the token is not bound to a pod: use a projected token")
	errNode      = errors.New("the token does not name the node of its pod, which API servers do since Kubernetes 1.32")
)

// Pod is who holds a token.
type Pod struct {
	// Namespace of the pod and its ServiceAccount.
	Namespace string
	// ServiceAccount, Name and Node are those of the pod.
	ServiceAccount, Name, Node string
}

// Verifier verifies tokens of one issuer for one audience. It is safe for
// concurrent use.
type Verifier struct {
	issuer, audience string
	keys             map[string]jose.JSONWebKey

	mu       sync.Mutex
	verified map[[sha256.Size]byte]verified
}

// verified is a token that was good.
type verified struct {
	pod           Pod
	after, before time.Time // valid between, leeway included
}

// NewVerifier takes the keys as a JWK Set, see ParseKeys.
func NewVerifier(issuer, audience string, set []byte) (*Verifier, error) {
	keys, err := ParseKeys(set)
	if err != nil {
		return nil, err
	}
	v := &Verifier{issuer: issuer, audience: audience, keys: map[string]jose.JSONWebKey{}, verified: map[[sha256.Size]byte]verified{}}
	for _, k := range keys.Keys {
		v.keys[k.KeyID] = k
	}
	return v, nil
}

// Verify returns whose token it is, or in one sentence why it is not valid at
// the given time.
func (v *Verifier) Verify(token string, now time.Time) (Pod, error) {
	if len(token) > maxToken {
		return Pod{}, errLong
	}
	sum := sha256.Sum256([]byte(token))
	v.mu.Lock()
	known, ok := v.verified[sum]
	v.mu.Unlock()
	if !ok {
		var err error
		if known, err = v.verify(token); err != nil {
			return Pod{}, err
		}
	}
	switch {
	case now.Before(known.after):
		return Pod{}, errEarly
	case !now.Before(known.before):
		return Pod{}, errExpired
	case !ok:
		v.remember(sum, known, now)
	}
	return known.pod, nil
}

// remember makes room by what has expired, and if that is nothing by all.
func (v *Verifier) remember(sum [sha256.Size]byte, good verified, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.verified) >= maxCached {
		for k, old := range v.verified {
			if !now.Before(old.before) {
				delete(v.verified, k)
			}
		}
		if len(v.verified) >= maxCached {
			clear(v.verified)
		}
	}
	v.verified[sum] = good
}

// private are the claims that API servers add.
type private struct {
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount object `json:"serviceaccount"`
		Pod            object `json:"pod"`
		Node           object `json:"node"`
	} `json:"kubernetes.io"`
}

type object struct {
	Name string `json:"name"`
}

func (v *Verifier) verify(token string) (verified, error) {
	parsed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(parsed.Signatures) != 1 {
		return verified{}, errMalformed
	}
	header := parsed.Signatures[0].Protected
	key, ok := v.keys[header.KeyID]
	if !ok || key.Algorithm != "" && key.Algorithm != header.Algorithm {
		return verified{}, errKey
	}
	payload, err := parsed.Verify(key.Key)
	if err != nil {
		return verified{}, errSignature
	}
	var claims jwt.Claims
	var more private
	if json.Unmarshal(payload, &claims) != nil || json.Unmarshal(payload, &more) != nil {
		return verified{}, errMalformed
	}
	k := &more.Kubernetes
	pod := Pod{Namespace: k.Namespace, ServiceAccount: k.ServiceAccount.Name, Name: k.Pod.Name, Node: k.Node.Name}
	switch {
	case claims.Issuer != v.issuer:
		return verified{}, errIssuer
	case !claims.Audience.Contains(v.audience):
		return verified{}, errAudience
	case claims.Expiry == nil || claims.IssuedAt == nil || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > maxLifetime:
		return verified{}, errLifetime
	case pod.Namespace == "" || pod.ServiceAccount == "" || claims.Subject != fmt.Sprintf("system:serviceaccount:%s:%s", pod.Namespace, pod.ServiceAccount):
		return verified{}, errSubject
	case pod.Name == "":
		return verified{}, errPod
	case pod.Node == "":
		return verified{}, errNode
	}
	good := verified{pod: pod, after: claims.IssuedAt.Time().Add(-leeway), before: claims.Expiry.Time().Add(leeway)}
	if claims.NotBefore != nil && claims.NotBefore.Time().Add(-leeway).After(good.after) {
		good.after = claims.NotBefore.Time().Add(-leeway)
	}
	return good, nil
}
