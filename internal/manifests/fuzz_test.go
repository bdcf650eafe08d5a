package manifests

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/fuzzing"
)

// FuzzManifests: what is made of any trail can be encoded, a grant has a name
// that the API server takes, and what is read of any Secret or ConfigMap is an
// error at worst.
func FuzzManifests(f *testing.F) {
	in := receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"}
	fuzzing.Run(f, 200, func(_ *testing.T, s *fuzzing.Source) {
		t := &v1alpha1.Trail{}
		s.Fill(&t.Spec, "SSE-S3", "SSE-KMS", "Governance", "eu-1")
		s.Fill(&t.Name, "audit")
		s.Fill(&t.Namespace, "shop")
		var c Credentials
		var r Reach
		s.Fill(&c)
		s.Fill(&r)
		record.MustJSON(Trail(t, in, c, r))
		Layout(t, in).Owner()

		secret, config := &corev1.Secret{}, &corev1.ConfigMap{}
		keys := []string{
			"tls.crt", "tls.key", "ca.crt", "next.crt", "report.json", "state.json", "issued", "apiServer",
			`{"observed":"2026-11-21T10:20:00Z"}`, "2026-11-21T10:20:00Z", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
		}
		s.Fill(secret, keys...)
		s.Fill(config, keys...)
		ca, pair := ReadCertificate(secret)
		_, _ = NewCA(pair)
		_, _ = NewCA(pki.KeyPair{Cert: ca})
		ReadAPIServer(secret)
		_, _ = ReadAuthority(secret)
		ReadReceiverReport(config)
		IsOurs(secret)
		var st receiverstatus.Status
		s.Fill(&st)
		report := ReceiverReport{Receiver: StateOf(&st, []string{"cp-1"})}
		s.Fill(&report.Certificates, keys...)
		report.ConfigMap("system")
	})
}

// TestGrantNames: the grant of any Secret has a name that the API server takes.
func TestGrantNames(t *testing.T) {
	for n := 1; n <= 253; n++ {
		for _, secret := range []string{strings.Repeat("a", n), strings.Repeat("a.", 127)[:n-1] + "a", strings.Repeat("-a", 127)[1:n] + "a"} {
			role, _ := Grant("shop", secret, Subject("someone"))
			if errs := validation.IsDNS1123Subdomain(role.Name); len(errs) > 0 && len(validation.IsDNS1123Subdomain(secret)) == 0 {
				t.Fatalf("the Secret %s has a grant named %s: %v", secret, role.Name, errs)
			}
		}
	}
}
