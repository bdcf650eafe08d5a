package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// TokenIssuer makes tokens as an API server does, for tails that run in no cluster.
type TokenIssuer struct {
	signer jose.Signer
	tail   receiverconfig.Tail
}

// NewTokenIssuer makes a key.
func NewTokenIssuer() (*TokenIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig"}}})
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		return nil, err
	}
	return &TokenIssuer{signer, receiverconfig.Tail{Issuer: "https://issuer.test", Keys: keys, Namespace: "trails"}}, nil
}

// Tail lets in whom the issuer has given a token.
func (i *TokenIssuer) Tail() *receiverconfig.Tail { return &i.tail }

// Token is one for the tail of a node, good for an hour.
func (i *TokenIssuer) Token(node string) (string, error) {
	now := time.Now()
	signed, err := i.signer.Sign(fmt.Appendf(nil, `{"iss":%q,"aud":[%q],"sub":"system:serviceaccount:%s:%s","iat":%d,"exp":%d,`+
		`"kubernetes.io":{"namespace":%[3]q,"serviceaccount":{"name":%[4]q},"pod":{"name":"tail"},"node":{"name":%[7]q}}}`,
		i.tail.Issuer, receiverconfig.TailAudience, i.tail.Namespace, receiverconfig.TailServiceAccount, now.Unix(), now.Add(time.Hour).Unix(), node))
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// TailClient is an HTTP client without a certificate.
func (in *Installation) TailClient() (*http.Client, error) {
	c, err := in.APIServerClient()
	if err == nil {
		c.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	}
	return c, err
}
