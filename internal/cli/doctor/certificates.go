package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

const (
	linkCertificates = "certificates"
	day              = 24 * time.Hour
	// soon is how long before its end a certificate that people put in place is
	// worth a warning. One that lives 90 days is renewed when 30 are left, and
	// overdue when this few are.
	soon    = 90 * day
	overdue = 20 * day
	// settles is how long an API server must have posted with a new certificate
	// alone before the one it replaces is refused.
	settles = 10 * time.Minute
)

// certificates: those of the receiver, of the manager and of each API server,
// and the CA that issued them, are valid, and will be. The manager tells when
// they end, so nobody needs to read a Secret with a key in it. What it told
// before it was silent is still true.
func (d *doctor) certificates(ctx context.Context) []Finding {
	switch {
	case d.report == nil:
		return []Finding{d.noReport(linkCertificates)}
	case len(d.report.Certificates) == 0:
		return []Finding{{State: Unchecked, Link: linkCertificates, Message: "the manager does not tell of them: it is older than this plugin, or was just started"}}
	}
	var told corev1.ConfigMap
	err := d.get(ctx, d.namespace, manifests.CertificatesName, &told)
	var findings []Finding
	switch {
	case apierrors.IsNotFound(err):
		findings = append(findings, Finding{
			State: Warning, Link: linkCertificates, Message: "there is no ConfigMap " + manifests.CertificatesName + ", which the manager writes every minute",
			Next: d.kubectl("logs deployment/%s", managerName),
		})
	case err != nil:
		findings = append(findings, d.unread(err, linkCertificates, manifests.CertificatesName, "configmaps", d.namespace))
	}
	rotation := told.Data[manifests.CertificatesRotation]
	var fine []string
	for i := range d.report.Certificates {
		c := &d.report.Certificates[i]
		f := d.ends(c, rotation)
		if f == nil {
			f = d.used(c, told.Data[manifests.CertificatesAPIServer+c.APIServer])
		}
		if f == nil {
			fine = append(fine, fmt.Sprintf("%s %d days", strings.TrimPrefix(c.Secret, "trail-"), int(c.End.Sub(d.now)/day)))
			continue
		}
		findings = append(findings, *f)
	}
	if rotation != "" {
		findings = append(findings, Finding{
			State: Warning, Link: linkCertificates, Message: "a rotation is not done: " + rotation,
			Next: "do what it waits for; see \"Rotate certificates\" in docs/runbook",
		})
	}
	if len(fine) > 0 {
		findings = append(findings, Finding{State: OK, Link: linkCertificates, Message: "valid for: " + strings.Join(fine, ", ")})
	}
	return findings
}

// ends says that a certificate has ended or ends soon, and what to do; nil when
// it does not.
func (d *doctor) ends(c *manifests.ReportedCertificate, rotation string) *Finding {
	f := &Finding{State: Problem, Link: linkCertificates, Subject: c.Secret, Next: d.kubectl("logs deployment/%s", managerName) + ", which says why it is not renewed"}
	from := overdue
	switch {
	case c.APIServer != "" && c.Replaced:
		from, f.Next = soon, d.file("--apiserver", c.APIServer)
	case c.APIServer != "":
		from, f.Next = soon, d.file("--rotate --apiserver", c.APIServer)
	case c.Secret == manifests.IntakeCAName && rotation != "":
		from, f.Next = soon, "its rotation is under way: see below"
	case c.Secret == manifests.IntakeCAName:
		from, f.Next = soon, d.webhookConfig("--rotate-ca")+", which says what to do next"
	}
	switch left := c.End.Sub(d.now); {
	case left <= 0:
		f.Message = "it expired " + d.ago(c.End)
	case left < from:
		f.State, f.Message = Warning, fmt.Sprintf("it expires in %s, on %s", plural(int(left/day), "day"), c.End.UTC().Format(time.DateOnly))
	default:
		return nil
	}
	if c.Replaced {
		f.Message += "; another one was issued, and is not in use yet"
	}
	return f
}

// used says that an API server posts with another certificate than its own,
// which has this fingerprint; nil when it does not, or that is not known.
func (d *doctor) used(c *manifests.ReportedCertificate, own string) *Finding {
	r := d.seen()
	if c.APIServer == "" || own == "" || r == nil || r.Receiver == nil {
		return nil
	}
	i := slices.IndexFunc(r.Receiver.Sources, func(s manifests.ReceiverStateSource) bool { return s.APIServer == c.APIServer })
	if i < 0 || len(r.Receiver.Sources[i].Certificates) == 0 {
		return nil
	}
	all := r.Receiver.Sources[i].Certificates
	f := &Finding{State: Warning, Link: linkCertificates, Subject: c.Secret}
	if all[0].SHA256 != own {
		f.Message, f.Next = "the API server "+c.APIServer+" posts with a certificate that was replaced", d.file("--apiserver", c.APIServer)
		return f
	}
	// Which of two was used last changes all the time where two API servers
	// have the same file, until one of them is restarted.
	n := slices.IndexFunc(all, func(s receiverstatus.SourceCertificate) bool {
		return s.SHA256 != own && d.now.Sub(s.LastPost) < settles
	})
	if n < 0 {
		return nil
	}
	f.Message = fmt.Sprintf("it is in use, and the one that it replaces was %s", d.ago(all[n].LastPost))
	f.Next = fmt.Sprintf("look again in ten minutes; if this stays, another API server was given the file of %s: give it its own", c.APIServer)
	return f
}

// file is how an API server gets the file with its certificate, which nobody
// else should read.
func (d *doctor) file(flags, apiServer string) string {
	return "(umask 077; " + d.webhookConfig("%s %s > webhook.kubeconfig", flags, apiServer) + "), put the file in place and restart that API server"
}

// webhookConfig is the command that prints and rotates what API servers have.
func (d *doctor) webhookConfig(format string, args ...any) string {
	command := "kubectl trail webhook-config "
	if d.namespace != kube.OperatorNamespace {
		command += "--operator-namespace " + d.namespace + " "
	}
	return command + fmt.Sprintf(format, args...)
}
