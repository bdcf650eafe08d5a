package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"
)

// Check returns the certificate of the pair, after checking that certificate
// and key belong together and that ca issued it.
func (pair KeyPair) Check(ca []byte) (*x509.Certificate, error) {
	parsed, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, errors.New("certificate and key are not a pair in PEM")
	}
	roots, err := ParseBundle(ca)
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if parsed.Leaf.CheckSignatureFrom(root) == nil {
			return parsed.Leaf, nil
		}
	}
	return nil, errors.New("the certificate was issued by another CA")
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
