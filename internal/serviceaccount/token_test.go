package serviceaccount

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	issuer   = "https://kubernetes.default.svc"
	audience = "trail-receiver"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// keys of an API server in the test.
type keys struct {
	private map[string]any
	set     []byte
}

func newKeys(t testing.TB) *keys {
	t.Helper()
	k := &keys{private: map[string]any{}}
	var set jose.JSONWebKeySet
	add := func(id string, private, public any) {
		k.private[id] = private
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: id, Use: "sig"})
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	add("rsa", rsaKey, rsaKey.Public())
	for id, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		ec, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		add(id, ec, ec.Public())
	}
	if k.set, err = json.Marshal(set); err != nil {
		t.Fatal(err)
	}
	return k
}

type claims map[string]any

// good are the claims of a projected token.
func good() claims {
	return claims{
		"iss": issuer, "aud": []string{audience}, "sub": "system:serviceaccount:trails:trail-tail", "jti": "1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": claims{
			"namespace": "trails", "serviceaccount": claims{"name": "trail-tail", "uid": "a"},
			"pod": claims{"name": "trail-tail-x", "uid": "b"}, "node": claims{"name": "cp-1", "uid": "c"},
		},
	}
}

func with(change func(c, k claims)) claims {
	c := good()
	change(c, c["kubernetes.io"].(claims))
	return c
}

func sign(t testing.TB, key any, id string, alg jose.SignatureAlgorithm, c any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func part(v any) string {
	b, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestVerify(t *testing.T) {
	k, others := newKeys(t), newKeys(t)
	v, err := NewVerifier(issuer, audience, k.set)
	if err != nil {
		t.Fatal(err)
	}
	rs := func(c any) string { return sign(t, k.private["rsa"], "rsa", jose.RS256, c) }
	// The public key as the secret of an HMAC: what confuses libraries that let
	// the token choose the algorithm.
	public := k.private["rsa"].(*rsa.PrivateKey).N.Bytes()
	twice := strings.Split(rs(good()), ".")
	for name, c := range map[string]struct {
		token string
		at    time.Time
		want  error
	}{
		"RS256":                 {token: rs(good())},
		"ES256":                 {token: sign(t, k.private["p256"], "p256", jose.ES256, good())},
		"ES384":                 {token: sign(t, k.private["p384"], "p384", jose.ES384, good())},
		"ES512":                 {token: sign(t, k.private["p521"], "p521", jose.ES512, good())},
		"one audience as text":  {token: rs(with(func(c, _ claims) { c["aud"] = audience }))},
		"clock a little behind": {token: rs(good()), at: now.Add(-20 * time.Second)},
		"clock a little ahead":  {token: rs(good()), at: now.Add(time.Hour + 20*time.Second)},

		"empty":           {want: errMalformed},
		"words":           {token: "a.b.c", want: errMalformed},
		"long":            {token: strings.Repeat("a", maxToken+1), want: errLong},
		"no signature":    {token: twice[0] + "." + twice[1] + ".", want: errSignature},
		"alg none":        {token: part(claims{"alg": "none", "kid": "rsa"}) + "." + part(good()) + ".", want: errMalformed},
		"HMAC":            {token: sign(t, public, "rsa", jose.HS256, good()), want: errMalformed},
		"PSS":             {token: sign(t, k.private["rsa"], "rsa", jose.PS256, good()), want: errMalformed},
		"foreign key":     {token: sign(t, others.private["rsa"], "rsa", jose.RS256, good()), want: errSignature},
		"unknown key":     {token: sign(t, others.private["rsa"], "new", jose.RS256, good()), want: errKey},
		"no key ID":       {token: sign(t, k.private["rsa"], "", jose.RS256, good()), want: errKey},
		"another's key":   {token: sign(t, k.private["p256"], "rsa", jose.ES256, good()), want: errSignature},
		"another payload": {token: twice[0] + "." + part(with(func(c, _ claims) { c["jti"] = "2" })) + "." + twice[2], want: errSignature},

		"another issuer":   {token: rs(with(func(c, _ claims) { c["iss"] = "https://evil" })), want: errIssuer},
		"another audience": {token: rs(with(func(c, _ claims) { c["aud"] = []string{"api"} })), want: errAudience},
		"no audience":      {token: rs(with(func(c, _ claims) { delete(c, "aud") })), want: errAudience},
		"expired":          {token: rs(good()), at: now.Add(time.Hour + 31*time.Second), want: errExpired},
		"early":            {token: rs(good()), at: now.Add(-31 * time.Second), want: errEarly},
		"not before later": {token: rs(with(func(c, _ claims) { c["nbf"] = now.Add(time.Minute).Unix() })), want: errEarly},
		"no end":           {token: rs(with(func(c, _ claims) { delete(c, "exp") })), want: errLifetime},
		"no beginning":     {token: rs(with(func(c, _ claims) { delete(c, "iat") })), want: errLifetime},
		"a year":           {token: rs(with(func(c, _ claims) { c["exp"] = now.AddDate(1, 0, 0).Unix() })), want: errLifetime},
		"a user":           {token: rs(with(func(c, _ claims) { c["sub"] = "admin" })), want: errSubject},
		"another subject":  {token: rs(with(func(c, _ claims) { c["sub"] = "system:serviceaccount:trails:default" })), want: errSubject},
		"two in a name": {token: rs(with(func(c, k claims) {
			c["sub"] = "system:serviceaccount::"
			k["namespace"], k["serviceaccount"] = "", claims{"name": ""}
		})), want: errSubject},
		"no pod":            {token: rs(with(func(_, k claims) { delete(k, "pod") })), want: errPod},
		"no node":           {token: rs(with(func(_, k claims) { delete(k, "node") })), want: errNode},
		"Kubernetes 1.28":   {token: rs(with(func(_, k claims) { k["node"] = nil })), want: errNode},
		"claims of no kind": {token: rs([]int{1}), want: errMalformed},
		"mistyped claims":   {token: rs(with(func(_, k claims) { k["node"] = "cp-1" })), want: errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			at := c.at
			if at.IsZero() {
				at = now
			}
			for range 2 { // the second answer may come from the cache
				pod, err := v.Verify(c.token, at)
				if err != c.want { //nolint:errorlint // it is not wrapped
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if want := (Pod{"trails", "trail-tail", "trail-tail-x", "cp-1"}); err == nil && pod != want {
					t.Fatalf("got %+v", pod)
				}
			}
		})
	}
}

// What is remembered is bounded, and does not outlive the token.
func TestRemember(t *testing.T) {
	k := newKeys(t)
	v, err := NewVerifier(issuer, audience, k.set)
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, k.private["p256"], "p256", jose.ES256, good())
	if _, err := v.Verify(token, now); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(token, now.Add(2*time.Hour)); err != errExpired { //nolint:errorlint // it is not wrapped
		t.Fatalf("got %v", err)
	}
	for i := range 3 * maxCached {
		v.remember([32]byte{byte(i), byte(i >> 8)}, verified{before: now.Add(time.Duration(i%2) * time.Hour)}, now)
		if len(v.verified) > maxCached {
			t.Fatalf("%d tokens are remembered", len(v.verified))
		}
	}
}

func TestParseKeys(t *testing.T) {
	k := newKeys(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this toolchain makes no weak keys:", err)
	}
	set := func(keys ...jose.JSONWebKey) []byte {
		b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	private := jose.JSONWebKey{Key: k.private["p256"], KeyID: "a"}
	secret := jose.JSONWebKey{Key: []byte("secret"), KeyID: "b"}
	unnamed := jose.JSONWebKey{Key: k.private["rsa"].(*rsa.PrivateKey).Public()}
	encrypts := jose.JSONWebKey{Key: k.private["rsa"].(*rsa.PrivateKey).Public(), KeyID: "c", Use: "enc"}
	many := fmt.Sprintf(`{"keys":[%s{}]}`, strings.Repeat("{},", maxKeys))
	for name, raw := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("<html>"), "a list": []byte("[]"), "empty": []byte(`{"keys":[]}`), "many": []byte(many),
		"long": []byte(`{"keys":[]}` + strings.Repeat(" ", MaxKeysSize)), "not on the curve": []byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA","y":"AAAA"}]}`),
		"none usable": set(private, secret, unnamed, encrypts, jose.JSONWebKey{Key: weak.Public(), KeyID: "d"}),
	} {
		if got, err := ParseKeys(raw); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	got, err := ParseKeys(append(k.set[:len(k.set)-2:len(k.set)-2], []byte(`,{"kty":"OKP","crv":"new"}]}`)...))
	if err != nil || len(got.Keys) != 4 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func FuzzVerify(f *testing.F) {
	k := newKeys(f)
	v, err := NewVerifier(issuer, audience, k.set)
	if err != nil {
		f.Fatal(err)
	}
	token := sign(f, k.private["p256"], "p256", jose.ES256, good())
	for _, s := range []string{
		"", ".", "..", "...", "a.b.c", token, token[:len(token)-1], token + ".a.b", "\x00", `{"payload":"","signatures":[]}`,
		part(claims{"alg": "ES256", "kid": "p256", "crit": []string{"b64"}, "b64": false}) + "..",
		part(maps.Collect(maps.All(good()))) + "." + part(good()) + ".AAAA",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// A signature can be written in several ways.
		if _, err := v.Verify(s, now); err == nil && !strings.HasPrefix(s, token[:strings.LastIndexByte(token, '.')]) {
			t.Fatalf("forged: %s", s)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add(newKeys(f).set)
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := ParseKeys(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := ParseKeys(again); err != nil || len(second.Keys) != len(set.Keys) {
			t.Fatalf("what is rendered cannot be read: %v", err)
		}
	})
}
