package installation

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

// deriveAccount makes 12 digits of a UID.
func deriveAccount(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	return fmt.Sprintf("%012d", binary.BigEndian.Uint64(sum[:8])%1_000_000_000_000)
}

// certificates makes the CA, the server's certificate, the manager's and one
// for each API server.
func (e *ensurer) certificates(ctx context.Context) error {
	now := e.clock.Now()
	s, err := e.secret(ctx, manifests.IntakeCAName, func() (*corev1.Secret, error) {
		ca, err := pki.NewCA("trail-operator intake "+e.in.UID, now)
		return manifests.Certificate(e.config.Namespace, manifests.IntakeCAName, ca.Cert, ca), err
	})
	if err != nil {
		return err
	}
	_, e.ca = manifests.ReadCertificate(s)
	cert, err := e.ca.Check(e.ca.Cert)
	if err != nil {
		return fmt.Errorf("the Secret %s: %w", s.Name, errNotOurs)
	}
	e.in.note(s.Name, cert.NotAfter)
	e.in.IntakeCA = e.ca.Cert

	if e.server, err = e.serverCertificate(ctx); err != nil {
		return err
	}
	e.in.ManagerCert, err = e.certificate(ctx, manifests.ManagerCertName, func() (pki.KeyPair, error) {
		return e.ca.IssueClient(now, receiverconfig.ManagerCommonName)
	})
	if err != nil {
		return err
	}
	for _, name := range e.config.Receiver.APIServers {
		_, err := e.certificate(ctx, manifests.APIServerCertName(name), func() (pki.KeyPair, error) {
			return e.ca.IssueClient(now, e.in.Account+":"+name, receiverconfig.AuditOrganization)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// serverCertificate returns the receiver's certificate. It is issued anew when the
// configuration names the receiver differently.
func (e *ensurer) serverCertificate(ctx context.Context) (pki.KeyPair, error) {
	names := e.receiver.ServerNames()
	issue := func() (pki.KeyPair, error) { return e.ca.IssueServer(e.clock.Now(), names...) }
	pair, err := e.certificate(ctx, manifests.ServerCertName, issue)
	if err != nil {
		return pki.KeyPair{}, err
	}
	cert, err := pair.Check(e.ca.Cert)
	if err != nil || pki.HasNames(cert, names) {
		return pair, err
	}
	if pair, err = issue(); err != nil {
		return pki.KeyPair{}, err
	}
	s := manifests.Certificate(e.config.Namespace, manifests.ServerCertName, e.ca.Cert, pair)
	if err := e.client.Update(ctx, s); err != nil {
		return pki.KeyPair{}, fmt.Errorf("writing the Secret %s: %w", s.Name, err)
	}
	return pair, nil
}

// certificate reads a certificate, or creates the one that issue makes.
func (e *ensurer) certificate(ctx context.Context, name string, issue func() (pki.KeyPair, error)) (pki.KeyPair, error) {
	s, err := e.secret(ctx, name, func() (*corev1.Secret, error) {
		pair, err := issue()
		return manifests.Certificate(e.config.Namespace, name, e.ca.Cert, pair), err
	})
	if err != nil {
		return pki.KeyPair{}, err
	}
	_, pair := manifests.ReadCertificate(s)
	cert, err := pair.Check(e.ca.Cert)
	if err != nil {
		return pki.KeyPair{}, fmt.Errorf("the Secret %s: %w", name, errNotOurs)
	}
	e.in.note(name, cert.NotAfter)
	return pair, nil
}

// signingKey makes the key that signs digests and publishes its public half,
// before the receiver gets it: nothing is ever signed by an unknown key.
func (e *ensurer) signingKey(ctx context.Context) error {
	s, err := e.secret(ctx, manifests.SigningKeyName, func() (*corev1.Secret, error) {
		key, err := signing.Generate()
		if err != nil {
			return nil, err
		}
		return manifests.SigningKey(e.config.Namespace, key.PEM()), nil
	})
	if err != nil {
		return err
	}
	key, err := signing.ParsePEM(s.Data[receiverconfig.FileSigningKey])
	if err != nil {
		return fmt.Errorf("the Secret %s was changed by hand: restore it from a backup", s.Name)
	}
	var published corev1.ConfigMap
	err = e.client.Get(ctx, client.ObjectKey{Namespace: e.config.Namespace, Name: manifests.DigestKeysName}, &published)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	for name, text := range published.Data {
		k, _, err := signing.ParsePublished([]byte(text))
		if err != nil {
			return fmt.Errorf("the entry %s of the ConfigMap %s was changed by hand: restore it from the object of that name in a bucket", name, published.Name)
		}
		e.in.Keys = append(e.in.Keys, k)
	}
	if !slices.ContainsFunc(e.in.Keys, func(k record.PublishedKey) bool { return k.Fingerprint == key.Fingerprint() }) {
		k, err := signing.Publish(key.Public(), e.clock.Now(), nil)
		if err != nil {
			return err
		}
		e.in.Keys = append(e.in.Keys, k)
		err = e.client.Apply(ctx, manifests.DigestKeys(e.config.Namespace, e.in.Keys),
			client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("publishing the signing key: %w", err)
		}
	}
	slices.SortFunc(e.in.Keys, func(a, b record.PublishedKey) int { return strings.Compare(a.ValidityStart, b.ValidityStart) })
	e.signing = s.Data[receiverconfig.FileSigningKey]
	return nil
}

// render renders the installation's part of the receiver's configuration.
func (e *ensurer) render(ctx context.Context) error {
	return e.in.Publisher.SetBase(ctx, Base{
		Config: receiverconfig.Config{
			Installation:        e.in.Installation,
			TrustedProxies:      e.config.TrustedProxies,
			KeepSensitiveBodies: e.config.KeepSensitiveBodies,
		},
		PEM: map[string][]byte{
			receiverconfig.FileServerCert: e.server.Cert,
			receiverconfig.FileServerKey:  e.server.Key,
			receiverconfig.FileClientCA:   e.ca.Cert,
			receiverconfig.FileSigningKey: e.signing,
		},
	})
}
