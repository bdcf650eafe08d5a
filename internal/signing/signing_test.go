package signing

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

func testKey(t testing.TB) *PrivateKey {
	t.Helper()
	b, err := os.ReadFile("testdata/signing.key")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePEM(b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB) *PrivateKey {
	t.Helper()
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPEMRoundTrip(t *testing.T) {
	key := newKey(t)
	again, err := ParsePEM(key.PEM())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Public().DER(), key.Public().DER()) || again.Trust() != key.Trust() {
		t.Error("the key that was read is not the one that was written")
	}
	if got := key.key.N.BitLen(); got != 2048 {
		t.Errorf("the key has %d bits, want 2048", got)
	}
}

func TestParsePEMRefuses(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"no PEM":         []byte("secret"),
		"another block":  encode("PRIVATE KEY", testKey(t).PEM()),
		"damaged":        encode("RSA PRIVATE KEY", []byte("secret")),
		"1024 bits":      encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(short)),
		"a public key":   encode("RSA PUBLIC KEY", testKey(t).Public().DER()),
		"public in priv": encode("RSA PRIVATE KEY", testKey(t).Public().DER()),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePEM(b)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

func TestSignature(t *testing.T) {
	key, message := testKey(t), []byte("message")
	signature, err := key.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := key.Sign(message); again != signature {
		t.Error("two signatures of one message differ")
	}
	public, err := ParsePublicKey(key.Public().DER())
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(message, signature); err != nil {
		t.Errorf("our own signature: %v", err)
	}
	if err := public.Verify(message, strings.ToUpper(signature)); err != nil {
		t.Errorf("in upper case: %v", err)
	}
	for name, verify := range map[string]func() error{
		"another message":   func() error { return public.Verify([]byte("massage"), signature) },
		"another key":       func() error { return newKey(t).Public().Verify(message, signature) },
		"the zero key":      func() error { return PublicKey{}.Verify(message, signature) },
		"no signature":      func() error { return public.Verify(message, "") },
		"not hex":           func() error { return public.Verify(message, strings.Repeat("zz", 256)) },
		"too long":          func() error { return public.Verify(message, signature+"00") },
		"one digit changed": func() error { return public.Verify(message, flip(signature)) },
	} {
		if err := verify(); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

func flip(hex string) string {
	digit := byte('0')
	if hex[0] == '0' {
		digit = '1'
	}
	return string(digit) + hex[1:]
}

func TestSuccession(t *testing.T) {
	first, second, stranger := testKey(t), newKey(t), newKey(t)
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one, err := Publish(first.Public(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Publish(second.Public(), from, first)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]record.PublishedKey{"first": one, "second": two} {
		read, _, err := ParsePublished(record.MustJSON(p))
		if err != nil {
			t.Errorf("the %s key: %v", name, err)
		} else if read.Fingerprint != p.Fingerprint {
			t.Errorf("the %s key came back as another", name)
		}
	}
	if err := CheckSuccession(two, first.Public()); err != nil {
		t.Errorf("the second key is signed by the first, but: %v", err)
	}
	forged := two
	forged.Value = stranger.Public().DER()
	for name, err := range map[string]error{
		"a first key":      CheckSuccession(one, first.Public()),
		"another before":   CheckSuccession(two, stranger.Public()),
		"an exchanged key": CheckSuccession(forged, first.Public()),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good, err := Publish(testKey(t).Public(), time.Unix(0, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*record.PublishedKey){
		"fingerprint": func(p *record.PublishedKey) { p.Fingerprint = "00" },
		"SHA-256":     func(p *record.PublishedKey) { p.SHA256 = "00" },
		"value":       func(p *record.PublishedKey) { p.Value = p.Value[1:] },
		"validity":    func(p *record.PublishedKey) { p.ValidityStart = "yesterday" },
	} {
		p := good
		change(&p)
		if _, err := Open(p); err == nil {
			t.Errorf("a wrong %s was accepted", name)
		}
	}
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(testKey(f).Public().DER())
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := ParsePublicKey(der)
		if err == nil && key.Verify(der, strings.Repeat("00", key.key.Size())) == nil {
			t.Error("a signature of zeros was accepted")
		}
	})
}

func FuzzParsePEM(f *testing.F) {
	f.Add(testKey(f).PEM())
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if key, err := ParsePEM(b); err == nil {
			_, _ = key.Sign(b)
		}
	})
}

func FuzzParsePublished(f *testing.F) {
	p, err := Publish(testKey(f).Public(), time.Unix(0, 0), testKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record.MustJSON(p))
	f.Add([]byte(`{"value":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, key, err := ParsePublished(b)
		if err == nil && (p.Fingerprint != key.Fingerprint() || !json.Valid(b)) {
			t.Error("it was read as another key")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	key, message := testKey(b), make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Sign(message); err != nil {
			b.Fatal(err)
		}
	}
}
