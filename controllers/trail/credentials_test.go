package trail

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// TestAmbient: the operator's own identity writes for a tenant where the
// installer said so, and nowhere else.
func TestAmbient(t *testing.T) {
	place := managerconfig.TenantDestination{
		Namespace: "shop", Endpoint: "https://s3.example.com", Region: "us-east-1", Bucket: "logs", Prefix: "shop", MaxObjectLockDays: 7,
	}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.Trail)
		want   bool
	}{
		"mapped":       {func(*v1alpha1.Trail) {}, true},
		"below":        {func(t *v1alpha1.Trail) { t.Spec.Destination.Prefix = "shop/b" }, true},
		"organization": {func(t *v1alpha1.Trail) { t.Namespace, t.Spec.Destination.Bucket = "", "any" }, true},
		"names a Secret": {func(t *v1alpha1.Trail) {
			t.Spec.Destination.CredentialsSecretRef = &v1alpha1.CredentialsSecretRef{Name: "x"}
		}, false},
		"another namespace": {func(t *v1alpha1.Trail) { t.Namespace, t.Spec.Destination.Prefix = "shop2", "shop" }, false},
		"another bucket":    {func(t *v1alpha1.Trail) { t.Spec.Destination.Bucket = "logs2" }, false},
		"another region":    {func(t *v1alpha1.Trail) { t.Spec.Destination.Region = "eu-1" }, false},
		"another server":    {func(t *v1alpha1.Trail) { t.Spec.Destination.Endpoint = "https://evil.example.com" }, false},
		"longer prefix":     {func(t *v1alpha1.Trail) { t.Spec.Destination.Prefix = "shopping" }, false},
		"up":                {func(t *v1alpha1.Trail) { t.Spec.Destination.Prefix = "shop/../other" }, false},
		"a longer lock":     {func(t *v1alpha1.Trail) { t.Spec.Destination.ObjectLock.Days = 8 }, false},
		"a CA of its own":   {func(t *v1alpha1.Trail) { t.Spec.Destination.CA = "-----BEGIN CERTIFICATE-----" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t)
			w.Config.TenantDestinations = []managerconfig.TenantDestination{place}
			d := &w.trail.Spec.Destination
			d.CredentialsSecretRef, d.Endpoint = nil, place.Endpoint
			tc.change(w.trail)
			s := w.newScope(w.trail)
			if got := s.mayBeAmbient(); got != tc.want {
				t.Fatalf("got %v", got)
			}
			if w.trail.Spec.Destination.CredentialsSecretRef != nil {
				return
			}
			err := s.readCredentials(t.Context())
			if tc.want != (err == nil) || tc.want != (s.credentials != nil && s.credentials.Ambient) {
				t.Errorf("credentials %+v, %v", s.credentials, err)
			}
			if err := s.settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tenant := tc.want && w.trail.Namespace != ""; s.destination.IsManaged() == tenant {
				t.Errorf("the bucket is managed: %v", s.destination.IsManaged())
			}
			// Who has lost the right does not keep the identity.
			s.rendered = &receiverconfig.Trail{Destination: receiverconfig.Destination{Ambient: true}}
			if c := s.lastCredentials(); c.Ambient != tc.want {
				t.Errorf("it goes on with %+v", c)
			}
		})
	}
}

// TestCredentialsAreBounded: all that is written into the receiver's
// configuration has a size that others can live with.
func TestCredentialsAreBounded(t *testing.T) {
	for size, want := range map[int]string{maxCredentials - 2: "", maxCredentials - 1: v1alpha1.ReasonInvalidCredentials} {
		l := newLifetime(t, static)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bucket"}, Data: map[string][]byte{
			v1alpha1.SecretAccessKeyID: []byte("a"), v1alpha1.SecretSecretAccessKey: []byte("b"),
			v1alpha1.SecretSessionToken: bytes.Repeat([]byte("x"), size),
		}}
		if err := l.Client.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		l.trail.Spec.Destination.CredentialsSecretRef = &v1alpha1.CredentialsSecretRef{Name: "bucket"}
		s := l.newScope(l.trail)
		if err := s.readCredentials(t.Context()); (want == "") != (err == nil) {
			t.Errorf("%d bytes: %v", size, err)
		} else if err != nil && !strings.Contains(err.Error(), "at most 16384") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
