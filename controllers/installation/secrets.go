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
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

// deriveAccount makes 12 digits of a UID.
func deriveAccount(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	return fmt.Sprintf("%012d", binary.BigEndian.Uint64(sum[:8])%1_000_000_000_000)
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

// render renders the installation's part of the receiver's configuration. Before
// the manager leads, what is rendered already stays as it is.
func (e *ensurer) render(ctx context.Context) error {
	c, render := e.in.Certificates(), e.in.Publisher.SetBase
	if e.receiverStatus == nil {
		render = e.in.Publisher.Begin
	}
	return render(ctx, Base{
		Config: receiverconfig.Config{
			Installation:        e.in.Installation,
			TrustedProxies:      e.config.TrustedProxies,
			KeepSensitiveBodies: e.config.KeepSensitiveBodies,
			Manager:             e.username,
			RefusedCertificates: c.refused,
		},
		PEM: map[string][]byte{
			receiverconfig.FileServerCert: c.server.Cert,
			receiverconfig.FileServerKey:  c.server.Key,
			receiverconfig.FileClientCA:   c.clients,
			receiverconfig.FileSigningKey: e.signing,
		},
	})
}
