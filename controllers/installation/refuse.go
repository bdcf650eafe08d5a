package installation

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

// refuse writes down that certificates are never good again. That stands beside
// the CA that has issued them and lasts as long as it: whatever becomes of an
// API server's Secret, of its name, or of the next rotation.
func (p *pass) refuse(ctx context.Context, certs []*x509.Certificate) error {
	a := *p.authority
	a.Current = refusing(a.Current, certs)
	if a.Next != nil {
		next := refusing(*a.Next, certs)
		a.Next = &next
	}
	if len(a.Refused()) == len(p.authority.Refused()) {
		return nil
	}
	return p.change(ctx, &a, "Certificates that were replaced are refused")
}

// refusing is the CA with those of the certificates refused that it has issued.
func refusing(ca manifests.CA, certs []*x509.Certificate) manifests.CA {
	ca.Refused = slices.Clone(ca.Refused)
	for _, c := range certs {
		if name := pki.Fingerprint(c); issued(ca, c) && !slices.Contains(ca.Refused, name) {
			ca.Refused = append(ca.Refused, name)
		}
	}
	return ca
}
