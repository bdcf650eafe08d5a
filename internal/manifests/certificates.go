package manifests

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/trail-operator/trail-operator/internal/pki"
)

// Keys of the Secrets with certificates, beside those of kubernetes.io/tls.
const (
	keyCA = "ca.crt" // whom the holder of the certificate trusts
	// KeyKubeconfig is the audit webhook's kubeconfig of an API server.
	KeyKubeconfig  = "webhook.kubeconfig"
	keyReplaced    = "replaced.crt"
	keyNextCert    = "next.crt"
	keyNextKey     = "next.key"
	keyPrevious    = "previous.crt"
	keyRefused     = "refused" // fingerprints, one a line
	keyNextRefused = "next.refused"
)

// AnnotationPrefix begins the names of our annotations.
const AnnotationPrefix = "trail-operator.io/"

// annotationSettled names the certificate of an API server that it posts with,
// and none that was replaced, by its fingerprint.
const annotationSettled = AnnotationPrefix + "settled-certificate"

// Certificate builds a Secret with a certificate, its key and the CAs that its
// holder trusts.
func Certificate(namespace, name string, ca []byte, p pki.KeyPair) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels("certificates")},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: p.Cert, corev1.TLSPrivateKeyKey: p.Key, keyCA: ca},
	}
}

// ReadCertificate reads such a Secret.
func ReadCertificate(s *corev1.Secret) (ca []byte, p pki.KeyPair) {
	return s.Data[keyCA], pki.KeyPair{Cert: s.Data[corev1.TLSCertKey], Key: s.Data[corev1.TLSPrivateKeyKey]}
}

// APIServer is what the Secret of an API server holds. It is written as a whole.
type APIServer struct {
	pki.KeyPair
	CA, Kubeconfig []byte
	// Replaced are the certificates that this one has taken the place of, and that
	// are not refused yet.
	Replaced []*x509.Certificate
	// Settled is the fingerprint of the certificate that the API server was seen
	// with when none of those replaced was in use any more.
	Settled string
}

// Secret builds the Secret.
func (a *APIServer) Secret(namespace, apiServer string) *corev1.Secret {
	s := Certificate(namespace, APIServerCertName(apiServer), a.CA, a.KeyPair)
	s.Data[KeyKubeconfig] = a.Kubeconfig
	if len(a.Replaced) > 0 {
		s.Data[keyReplaced] = pki.Bundle(a.Replaced...)
	}
	if a.Settled != "" {
		s.Annotations = map[string]string{annotationSettled: a.Settled}
	}
	return s
}

// ReadAPIServer reads such a Secret. Replaced certificates that cannot be read
// are left out: they could not be refused by name.
func ReadAPIServer(s *corev1.Secret) *APIServer {
	a := &APIServer{Kubeconfig: s.Data[KeyKubeconfig], Settled: s.Annotations[annotationSettled]}
	a.CA, a.KeyPair = ReadCertificate(s)
	if replaced, err := pki.ParseBundle(s.Data[keyReplaced]); err == nil {
		a.Replaced = replaced
	}
	return a
}

// Authority is the intake CA, and the one that takes its place, if that is
// under way. One Secret holds all of it, so that each step is one write.
type Authority struct {
	Current CA
	// Next is trusted and issues client certificates, but not yet the receiver's.
	Next *CA
	// Previous is the one before, which may still have issued the certificate
	// that the receiver shows.
	Previous *x509.Certificate
}

// CA is a CA with its parsed certificate.
type CA struct {
	pki.KeyPair
	Leaf *x509.Certificate
	// Refused are the fingerprints of the client certificates that it has issued
	// and that are never good again.
	Refused []string
}

// NewCA parses and checks a CA.
func NewCA(p pki.KeyPair) (CA, error) {
	leaf, err := p.Check(p.Cert)
	return CA{KeyPair: p, Leaf: leaf}, err
}

// Refused are the fingerprints of all client certificates that are refused.
func (a *Authority) Refused() []string {
	if a.Next != nil {
		return slices.Concat(a.Current.Refused, a.Next.Refused)
	}
	return a.Current.Refused
}

// Clients are the CAs whose client certificates are good.
func (a *Authority) Clients() []byte {
	if a.Next != nil {
		return pki.Bundle(a.Current.Leaf, a.Next.Leaf)
	}
	return pki.Bundle(a.Current.Leaf)
}

// Servers are the CAs that issued or will issue the receiver's certificate.
func (a *Authority) Servers() []byte {
	if a.Previous != nil {
		return slices.Concat(a.Clients(), pki.Bundle(a.Previous))
	}
	return a.Clients()
}

// Secret builds the Secret.
func (a *Authority) Secret(namespace string) *corev1.Secret {
	s := Certificate(namespace, IntakeCAName, a.Servers(), a.Current.KeyPair)
	if a.Next != nil {
		s.Data[keyNextCert], s.Data[keyNextKey] = a.Next.Cert, a.Next.Key
		writeRefused(s, keyNextRefused, a.Next.Refused)
	}
	writeRefused(s, keyRefused, a.Current.Refused)
	if a.Previous != nil {
		s.Data[keyPrevious] = pki.Bundle(a.Previous)
	}
	return s
}

// ReadAuthority reads and checks such a Secret.
func ReadAuthority(s *corev1.Secret) (*Authority, error) {
	_, pair := ReadCertificate(s)
	current, err := NewCA(pair)
	if err != nil {
		return nil, err
	}
	if current.Refused, err = readRefused(s, keyRefused); err != nil {
		return nil, err
	}
	a := &Authority{Current: current}
	if cert := s.Data[keyNextCert]; len(cert) > 0 {
		next, err := NewCA(pki.KeyPair{Cert: cert, Key: s.Data[keyNextKey]})
		if err != nil {
			return nil, fmt.Errorf("the next one: %w", err)
		}
		if next.Refused, err = readRefused(s, keyNextRefused); err != nil {
			return nil, err
		}
		a.Next = &next
	}
	if cert := s.Data[keyPrevious]; len(cert) > 0 {
		certs, err := pki.ParseBundle(cert)
		if err != nil || len(certs) != 1 {
			return nil, errors.New("the previous one is not one certificate in PEM")
		}
		a.Previous = certs[0]
	}
	return a, nil
}

func writeRefused(s *corev1.Secret, key string, fingerprints []string) {
	if len(fingerprints) > 0 {
		s.Data[key] = []byte(strings.Join(fingerprints, "\n") + "\n")
	}
}

func readRefused(s *corev1.Secret, key string) ([]string, error) {
	fingerprints := strings.Fields(string(s.Data[key]))
	for _, f := range fingerprints {
		if !pki.IsFingerprint(f) {
			return nil, errors.New("a certificate that is refused is not named by a hex SHA-256")
		}
	}
	return fingerprints, nil
}

// Keys of the ConfigMap CertificatesName. Fingerprints are the hex SHA-256 of a
// certificate's DER.
const (
	// CertificatesCA and those that begin with CertificatesAPIServer and end with
	// the name of an API server hold the fingerprints of what is current.
	CertificatesCA        = "ca"
	CertificatesAPIServer = "apiserver."
	// CertificatesNextCA is the one that takes the place of the current CA; there
	// is none when that is not under way.
	CertificatesNextCA = "ca.next"
	// CertificatesReceiverCA, PEM, are the CAs that may have issued the receiver's
	// certificate, for clients that have no Secret of their own.
	CertificatesReceiverCA = "receiver-ca.crt"
	// CertificatesRotation is a sentence on what is under way.
	CertificatesRotation = "rotation"
	// RotatePrefix before one of the former keys asks for its rotation. The value
	// is the fingerprint of what is to be replaced, so that asking twice is
	// asking once.
	RotatePrefix = "rotate."
	// RevokePrefix before one of those that can be rotated asks to refuse at once
	// what it has taken the place of, used or not. The value is the fingerprint of
	// what stays: the certificate of an API server, or the next CA.
	RevokePrefix = "revoke."
)

// Certificates builds the manager's part of the ConfigMap.
func Certificates(namespace string, data map[string]string) *corev1ac.ConfigMapApplyConfiguration {
	return corev1ac.ConfigMap(CertificatesName, namespace).WithLabels(labels("certificates")).WithData(data)
}
