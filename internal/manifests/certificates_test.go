package manifests

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/pki"
)

func newCA(t *testing.T) CA {
	t.Helper()
	pair, err := pki.NewCA("CA", time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := NewCA(pair)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func equal(a, b *Authority) string { return cmp.Diff(a.Secret("trail").Data, b.Secret("trail").Data) }

// TestAuthority: what is written is read again, and whom it trusts.
func TestAuthority(t *testing.T) {
	one, two, three := newCA(t), newCA(t), newCA(t)
	one.Refused, two.Refused = []string{pki.Fingerprint(one.Leaf)}, []string{pki.Fingerprint(two.Leaf), pki.Fingerprint(three.Leaf)}
	for name, tc := range map[string]struct {
		a                *Authority
		clients, servers []*x509.Certificate
	}{
		"at rest":  {&Authority{Current: one}, []*x509.Certificate{one.Leaf}, []*x509.Certificate{one.Leaf}},
		"rotating": {&Authority{Current: one, Next: &two}, []*x509.Certificate{one.Leaf, two.Leaf}, []*x509.Certificate{one.Leaf, two.Leaf}},
		"rotated":  {&Authority{Current: two, Previous: one.Leaf}, []*x509.Certificate{two.Leaf}, []*x509.Certificate{two.Leaf, one.Leaf}},
		"again": {
			&Authority{Current: two, Next: &three, Previous: one.Leaf},
			[]*x509.Certificate{two.Leaf, three.Leaf},
			[]*x509.Certificate{two.Leaf, three.Leaf, one.Leaf},
		},
	} {
		got, err := ReadAuthority(tc.a.Secret("trail"))
		if err != nil {
			t.Fatal(err)
		}
		if d := equal(tc.a, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff(tc.a.Refused(), got.Refused()); d != "" || len(got.Refused()) == 0 {
			t.Errorf("%s: refused %s", name, d)
		}
		if d := cmp.Diff(string(pki.Bundle(tc.clients...)), string(got.Clients())); d != "" {
			t.Errorf("%s: clients %s", name, d)
		}
		if d := cmp.Diff(string(pki.Bundle(tc.servers...)), string(got.Servers())); d != "" {
			t.Errorf("%s: servers %s", name, d)
		}
	}
	for name, change := range map[string]func(*corev1.Secret){
		"no key":        func(s *corev1.Secret) { delete(s.Data, "tls.key") },
		"another key":   func(s *corev1.Secret) { s.Data["tls.key"] = two.Key },
		"half a next":   func(s *corev1.Secret) { delete(s.Data, "next.key") },
		"two previous":  func(s *corev1.Secret) { s.Data["previous.crt"] = pki.Bundle(one.Leaf, two.Leaf) },
		"refused junk":  func(s *corev1.Secret) { s.Data["refused"] = []byte("x") },
		"next's junk":   func(s *corev1.Secret) { s.Data["next.refused"] = []byte("x") },
		"previous junk": func(s *corev1.Secret) { s.Data["previous.crt"] = []byte("x") },
	} {
		s := (&Authority{Current: one, Next: &two, Previous: three.Leaf}).Secret("trail")
		change(s)
		if _, err := ReadAuthority(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAPIServer(t *testing.T) {
	one := newCA(t)
	want := &APIServer{KeyPair: one.KeyPair, CA: one.Cert, Kubeconfig: []byte("k"), Replaced: []*x509.Certificate{one.Leaf}, Settled: "ff"}
	s := want.Secret("trail", "cp-1")
	if d := cmp.Diff(s, ReadAPIServer(s).Secret("trail", "cp-1")); d != "" || s.Name != "trail-apiserver-cp-1" {
		t.Error(s.Name, d)
	}
	s.Data[keyReplaced] = []byte("x")
	if got := ReadAPIServer(s); len(got.Replaced) != 0 || string(got.Kubeconfig) != "k" {
		t.Errorf("read %+v", got)
	}
}

// TestAudit: the ConfigMap holds what the command line prints.
func TestAudit(t *testing.T) {
	cm, err := Audit("trail")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := auditpolicy.Standard.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{AuditPolicy: string(policy), AuditFlags: FlagLines(AuditFiles)}, cm.Data); d != "" {
		t.Error(d)
	}
	golden(t, "audit-flags.txt", cm.Data[AuditFlags])
}
