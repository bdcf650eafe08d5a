package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

const (
	linkCertificates = "certificates"
	day              = 24 * time.Hour
	// soon is how long before its end a certificate that people put in place is
	// worth a warning, overdue when one that is renewed by itself is.
	soon    = 90 * day
	overdue = 20 * day
)

// certificates: those of the receiver, of the manager and of each API server,
// and the CA that issued them, are valid, and will be.
func (d *doctor) certificates(ctx context.Context) []Finding {
	secrets := []string{manifests.ServerCertName, manifests.ManagerCertName}
	if d.report != nil {
		for _, name := range d.report.APIServers {
			secrets = append(secrets, manifests.APIServerCertName(name))
		}
	}
	var findings []Finding
	var fine []string
	for _, name := range secrets {
		var s corev1.Secret
		err := d.get(ctx, d.namespace, name, &s)
		if apierrors.IsForbidden(err) {
			return append(findings, Finding{State: Unchecked, Link: linkCertificates, Message: fmt.Sprintf("needs get on secrets in namespace %q", d.namespace)})
		}
		if apierrors.IsNotFound(err) {
			findings = append(findings, Finding{
				State: Problem, Link: linkCertificates, Subject: name, Message: "there is no such Secret",
				Next: d.kubectl("rollout restart deployment/%s", managerName) + ", which issues another; an API server's is then to be put in place again",
			})
			continue
		}
		if err != nil {
			findings = append(findings, d.unread(err, linkCertificates, name, "secrets", d.namespace))
			continue
		}
		f, left := d.certificate(&s)
		if f == nil {
			fine = append(fine, fmt.Sprintf("%s %d days", strings.TrimPrefix(name, "trail-"), left))
			continue
		}
		findings = append(findings, *f)
	}
	if len(fine) > 0 {
		findings = append(findings, Finding{State: OK, Link: linkCertificates, Message: "valid for: " + strings.Join(fine, ", ")})
	}
	return findings
}

// certificate says what is wrong with the certificate of a Secret, and else
// for how many days it, and its CA, are valid.
func (d *doctor) certificate(s *corev1.Secret) (f *Finding, days int) {
	f = &Finding{State: Problem, Link: linkCertificates, Subject: s.Name, Next: d.renew(s.Name)}
	ca, pair := manifests.ReadCertificate(s)
	cert, err := pair.Check(ca)
	if err != nil {
		f.Message = "it was changed by hand: " + err.Error()
		return f, 0
	}
	end, what := cert.NotAfter, "it"
	if roots, err := pki.ParseBundle(ca); err == nil {
		for _, root := range roots {
			if cert.CheckSignatureFrom(root) == nil && root.NotAfter.Before(end) {
				end, what = root.NotAfter, "its CA"
			}
		}
	}
	if s.Name == manifests.ServerCertName {
		if name := d.unnamed(cert); name != "" {
			f.Message = "it is not good for " + name + ", to which API servers post"
			f.Next = d.kubectl("rollout restart deployment/%s", managerName) + ", which issues another"
			return f, 0
		}
	}
	left, byHand := end.Sub(d.now), what != "it" || strings.HasPrefix(s.Name, manifests.APIServerCertName(""))
	switch {
	case left <= 0:
		f.Message = fmt.Sprintf("%s expired %s", what, d.ago(end))
	case cert.NotBefore.After(d.now):
		f.Message = "it is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339) + ": a clock is wrong"
		f.Next = "set the clocks of the nodes"
	case left < soon && byHand, left < overdue:
		f.State, f.Message = Warning, fmt.Sprintf("%s expires in %s, on %s", what, plural(int(left/day), "day"), end.UTC().Format(time.DateOnly))
	default:
		return nil, int(left / day)
	}
	return f, 0
}

// renew is how to get another certificate.
func (d *doctor) renew(secret string) string {
	next := d.kubectl("delete secret %s; ", secret) + d.kubectl("rollout restart deployment/%s", managerName)
	if name, ok := strings.CutPrefix(secret, manifests.APIServerCertName("")); ok {
		next += "; then connect the API server again with `kubectl trail webhook-config --apiserver " + name + "`"
	}
	return next
}

// unnamed is the host to which API servers post when the certificate is not
// good for it, else empty.
func (d *doctor) unnamed(cert *x509.Certificate) string {
	u, err := url.Parse(d.installation.Data[manifests.InstallationReceiverURL])
	if err != nil || u.Hostname() == "" || cert.VerifyHostname(u.Hostname()) == nil {
		return ""
	}
	return u.Hostname()
}
