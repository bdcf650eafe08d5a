// Package signing holds the RSA keys that sign digests: how they are made,
// stored, named, published and checked.
package signing

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Sizes of the RSA modulus. CloudTrail's keys have 2048 bits; larger ones are
// accepted up to a limit, so that a hostile key costs no more than an honest one.
const (
	keyBits    = 2048
	maxKeyBits = 4096
)

const pemType = "RSA PRIVATE KEY"

// PrivateKey signs digests. It is safe for concurrent use.
type PrivateKey struct {
	key    *rsa.PrivateKey
	public PublicKey
}

// Generate makes a new RSA-2048 key.
func Generate() (*PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("generating a signing key: %w", err)
	}
	return newPrivateKey(key), nil
}

// ParsePEM reads a key as PEM writes it: PKCS#1 in one "RSA PRIVATE KEY" block.
func ParsePEM(b []byte) (*PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("signing key: there is no PEM block %q", pemType)
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		// The parser's own words might quote the key.
		return nil, errors.New("signing key: it is not an RSA key in PKCS#1 form")
	}
	if err := checkSize(&key.PublicKey); err != nil {
		return nil, err
	}
	return newPrivateKey(key), nil
}

func newPrivateKey(key *rsa.PrivateKey) *PrivateKey {
	return &PrivateKey{key: key, public: newPublicKey(&key.PublicKey)}
}

// PEM encodes the key in PKCS#1 form.
func (k *PrivateKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: x509.MarshalPKCS1PrivateKey(k.key)})
}

// Public returns the public half.
func (k *PrivateKey) Public() PublicKey { return k.public }

// Fingerprint is that of the public half.
func (k *PrivateKey) Fingerprint() string { return k.public.Fingerprint() }

// Trust is that of the public half.
func (k *PrivateKey) Trust() string { return k.public.Trust() }

// Sign returns the SHA256withRSA (PKCS#1 v1.5) signature of message in
// lower-case hex. The same message always gives the same signature.
func (k *PrivateKey) Sign(message []byte) (string, error) {
	sum := sha256.Sum256(message)
	signature, err := rsa.SignPKCS1v15(nil, k.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return hex.EncodeToString(signature), nil
}

// PublicKey checks signatures. The zero value accepts none.
type PublicKey struct {
	key *rsa.PublicKey
	der []byte
}

// ParsePublicKey reads a public key in PKCS#1 DER (RSAPublicKey), the form that
// CloudTrail's ListPublicKeys serves.
func ParsePublicKey(der []byte) (PublicKey, error) {
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return PublicKey{}, errors.New("public key: it is not an RSA key in PKCS#1 DER form")
	}
	if err := checkSize(key); err != nil {
		return PublicKey{}, err
	}
	return newPublicKey(key), nil
}

func newPublicKey(key *rsa.PublicKey) PublicKey {
	return PublicKey{key: key, der: x509.MarshalPKCS1PublicKey(key)}
}

func checkSize(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < keyBits || bits > maxKeyBits {
		return fmt.Errorf("key has %d bits; it must have %d to %d", bits, keyBits, maxKeyBits)
	}
	return nil
}

// DER returns a copy of the key in PKCS#1 form.
func (k PublicKey) DER() []byte { return append([]byte(nil), k.der...) }

// Fingerprint is CloudTrail's name of the key: hex MD5 of its DER. Clients only
// look keys up by it; it is no protection.
func (k PublicKey) Fingerprint() string { return record.Fingerprint(k.der) }

// Trust is the hex SHA-256 of the key's DER: what a verifier pins.
func (k PublicKey) Trust() string { return record.HexSHA256(k.der) }

// ErrSignature is returned for a signature that does not belong to the message.
var ErrSignature = errors.New("signature verification failed")

// Verify checks a signature as Sign returns it; hex digits of either case pass.
func (k PublicKey) Verify(message []byte, signature string) error {
	if k.key == nil || len(signature) != 2*k.key.Size() {
		return ErrSignature
	}
	raw, err := hex.DecodeString(signature)
	if err != nil {
		return ErrSignature
	}
	sum := sha256.Sum256(message)
	if rsa.VerifyPKCS1v15(k.key, crypto.SHA256, sum[:], raw) != nil {
		return ErrSignature
	}
	return nil
}
