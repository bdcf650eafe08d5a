package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"time"
)

// Check returns the certificate of the pair, after checking that certificate
// and key belong together and that a certificate of the bundle ca issued it.
func (pair KeyPair) Check(ca []byte) (*x509.Certificate, error) {
	leaf, err := pair.CheckKey()
	if err != nil {
		return nil, err
	}
	roots, err := ParseBundle(ca)
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if leaf.CheckSignatureFrom(root) == nil {
			return leaf, nil
		}
	}
	return nil, errors.New("the certificate was issued by another CA")
}

// CheckKey returns the certificate of the pair, after checking that certificate
// and key belong together.
func (pair KeyPair) CheckKey() (*x509.Certificate, error) {
	parsed, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, errors.New("certificate and key are not a pair in PEM")
	}
	return parsed.Leaf, nil
}

// HasNames reports whether a server certificate is good for every name.
func HasNames(cert *x509.Certificate, names []string) bool {
	for _, n := range names {
		if cert.VerifyHostname(n) != nil {
			return false
		}
	}
	return true
}

// Expired reports whether cert is past its end at now.
func Expired(cert *x509.Certificate, now time.Time) bool { return now.After(cert.NotAfter) }

// RenewalDue reports whether no more than a third of LeafLifetime is left of
// cert at now, so that another one should take its place. It never is when
// another one would not live longer, because issuer ends with it. One that is
// not valid yet is due, too.
func RenewalDue(cert, issuer *x509.Certificate, now time.Time) bool {
	return now.Before(cert.NotBefore) ||
		cert.NotAfter.Sub(now) <= LeafLifetime/3 && issuer.NotAfter.After(cert.NotAfter)
}

// Fingerprint is the hex SHA-256 of the certificate's DER.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// IsFingerprint reports whether s is written as Fingerprint does.
func IsFingerprint(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == hex.EncodeToString(b)
}

// Bundle is the certificates in PEM, one after the other.
func Bundle(certs ...*x509.Certificate) []byte {
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return b
}

// ParseBundle parses a PEM bundle that holds at least one certificate and
// nothing else.
func ParseBundle(bundle []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("the bundle holds something that is no certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("the bundle holds a certificate that cannot be read")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("the bundle holds no certificate in PEM")
	}
	return certs, nil
}
