// Package pki makes the certificates of an installation: the intake CA, which
// nothing outside it trusts, and what it issues to the receiver, to the
// manager and to each API server.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Lifetimes. No certificate outlives the CA that issued it. Each begins years
// early: one that was made while a clock was ahead must not be refused when that
// clock is right again, nor by whoever has one that runs behind.
const (
	CALifetime = 10 * 365 * 24 * time.Hour
	// APIServerLifetime is long, because people put the certificate in place.
	APIServerLifetime = CALifetime
	// LeafLifetime is that of all others, which are renewed by themselves.
	LeafLifetime = 90 * 24 * time.Hour

	early = CALifetime
)

// KeyPair is a certificate with its private key, both PEM.
type KeyPair struct {
	Cert []byte
	Key  []byte
}

// NewCA makes a self-signed CA that issues leaf certificates only.
func NewCA(commonName string, now time.Time) (KeyPair, error) {
	return sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-early),
		NotAfter:              now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}, nil)
}

// IssueServer issues, as a CA, a server certificate for host names and IP addresses.
func (pair KeyPair) IssueServer(now time.Time, names ...string) (KeyPair, error) {
	if len(names) == 0 {
		return KeyPair{}, errors.New("pki: a server certificate needs at least one name")
	}
	t := leaf(now, LeafLifetime, names[0], x509.ExtKeyUsageServerAuth)
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	return sign(t, &pair)
}

// IssueClient issues, as a CA, a client certificate that is renewed by itself.
func (pair KeyPair) IssueClient(now time.Time, commonName string, organizations ...string) (KeyPair, error) {
	return pair.issueClient(now, LeafLifetime, commonName, organizations)
}

// IssueAPIServer issues, as a CA, the client certificate of an API server.
func (pair KeyPair) IssueAPIServer(now time.Time, commonName string, organizations ...string) (KeyPair, error) {
	return pair.issueClient(now, APIServerLifetime, commonName, organizations)
}

func (pair KeyPair) issueClient(now time.Time, lifetime time.Duration, commonName string, organizations []string) (KeyPair, error) {
	t := leaf(now, lifetime, commonName, x509.ExtKeyUsageClientAuth)
	t.Subject.Organization = organizations
	return sign(t, &pair)
}

func leaf(now time.Time, lifetime time.Duration, commonName string, usage x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-early),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
	}
}

// sign makes a key and its certificate; without an issuer it signs itself.
func sign(t *x509.Certificate, issuer *KeyPair) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pki: making a key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return KeyPair{}, fmt.Errorf("pki: drawing a serial number: %w", err)
	}
	parent, signer := t, any(key)
	if issuer != nil {
		pair, err := tls.X509KeyPair(issuer.Cert, issuer.Key)
		if err != nil {
			return KeyPair{}, errors.New("pki: the CA's certificate and key are not a pair in PEM")
		}
		parent, signer = pair.Leaf, pair.PrivateKey
		if parent.NotAfter.Before(t.NotAfter) {
			t.NotAfter = parent.NotAfter // nobody accepts it for longer
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pki: signing a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pki: encoding a key: %w", err)
	}
	return KeyPair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}
