package installation

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// maxReplaced bounds the certificates of one API server that were replaced, and
// are not refused yet; maxRefused those that are refused by name. Those of a CA
// that is gone do not count. The receiver takes more, because what was replaced
// before there were that many is refused, too.
const (
	maxReplaced = 16
	maxRefused  = receiverconfig.MaxRefused / 2
)

// defaultSettle is how long an API server must have posted with its new
// certificate alone before those replaced are refused. An API server that ends
// sends what it holds for up to four minutes; one of several that were given
// the same file must not be cut off.
const defaultSettle = 10 * time.Minute

// apiServer is the certificate of an API server.
type apiServer struct {
	*manifests.APIServer
	name string
	leaf *x509.Certificate
}

// settled: the API server uses this certificate and none that it has replaced.
func (a *apiServer) settled() bool { return a.Settled == pki.Fingerprint(a.leaf) }

// end is that of the certificate that the API server may be using.
func (a *apiServer) end() End {
	e := End{Secret: manifests.APIServerCertName(a.name), APIServer: a.name, Time: a.leaf.NotAfter}
	if a.settled() {
		return e
	}
	for _, c := range a.Replaced {
		if c.NotAfter.Before(e.Time) {
			e.Time, e.Replaced = c.NotAfter, true
		}
	}
	return e
}

// apiServerCertificates keeps one certificate for each API server. What is wrong
// with that of one keeps nothing else from being done.
func (p *pass) apiServerCertificates(ctx context.Context) error {
	for _, name := range p.config.Receiver.APIServers {
		a, err := p.apiServer(ctx, name)
		switch {
		case err != nil && (ctx.Err() != nil || again(err)):
			return err
		case err != nil:
			p.unkept, p.failures = append(p.unkept, name), append(p.failures, fmt.Errorf("the API server %s: %w", name, err))
			p.notes = append(p.notes, fmt.Sprintf("The certificate of the API server %s cannot be kept: the manager's log says why.", name))
		default:
			p.apiServers = append(p.apiServers, a)
		}
	}
	return nil
}

func (p *pass) apiServer(ctx context.Context, name string) (*apiServer, error) {
	stored, err := p.secret(ctx, manifests.APIServerCertName(name), func() (*corev1.Secret, error) {
		a := &apiServer{name: name, APIServer: &manifests.APIServer{}}
		if err := p.issue(ctx, a); err != nil {
			return nil, err
		}
		return a.Secret(p.config.Namespace, name), nil
	})
	if err != nil {
		return nil, err
	}
	before := &apiServer{name: name, APIServer: manifests.ReadAPIServer(stored)}
	before.leaf, err = before.Check(p.authority.Clients())
	if err != nil || slices.Contains(p.authority.Refused(), pki.Fingerprint(before.leaf)) {
		before.leaf = nil
	}
	after := &apiServer{name: name, APIServer: manifests.ReadAPIServer(stored), leaf: before.leaf}
	if err := p.replace(ctx, after); err != nil {
		return nil, err
	}
	if err := p.conclude(ctx, after); err != nil {
		return nil, err
	}
	if err := p.connect(after); err != nil {
		return nil, err
	}
	err = p.update(ctx, stored, after.Secret(p.config.Namespace, name))
	switch {
	case apierrors.IsForbidden(err) && before.leaf != nil:
		// Everything else goes on, with what there is.
		p.notes = append(p.notes, fmt.Sprintf("The manager may not update the Secret %s: add its name to the Role trail-operator-apiservers.", stored.Name))
		return before, nil
	case err != nil:
		return nil, err
	case after.leaf != before.leaf:
		p.log.Info("Issued a certificate", "secret", stored.Name, "end", after.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return after, nil
}

// replace issues another certificate when that was asked for, when there is a
// new CA, or when this one is of no use.
func (p *pass) replace(ctx context.Context, a *apiServer) error {
	if a.leaf == nil {
		return p.issue(ctx, a)
	}
	asked := p.asked[manifests.RotatePrefix+manifests.CertificatesAPIServer+a.name] == pki.Fingerprint(a.leaf)
	moves := p.authority.Next != nil && !issued(*p.authority.Next, a.leaf) && p.issuer(ctx).Leaf == p.authority.Next.Leaf
	if !asked && !moves && a.leaf.Subject.CommonName == p.commonName(a.name) {
		return nil
	}
	switch {
	case moves:
	case len(a.Replaced) >= maxReplaced:
		p.notes = append(p.notes, fmt.Sprintf("The certificate of the API server %s is not replaced once more, because %d were: "+
			"connect it with what `kubectl trail webhook-config --apiserver %s` prints, or begin a new CA with `kubectl trail webhook-config --rotate-ca`.", a.name, maxReplaced, a.name))
		return nil
	case len(p.authority.Refused()) >= maxRefused:
		p.notes = append(p.notes, fmt.Sprintf("The certificate of the API server %s is not replaced once more, because %d are refused by name: "+
			"begin a new CA with `kubectl trail webhook-config --rotate-ca`.", a.name, maxRefused))
		return nil
	}
	a.Replaced = append(a.Replaced, a.leaf)
	return p.issue(ctx, a)
}

func (p *pass) commonName(apiServer string) string { return p.in.Account + ":" + apiServer }

// issue issues a certificate for the API server, and trusts every CA that may
// have issued the receiver's.
func (p *pass) issue(ctx context.Context, a *apiServer) error {
	issuer := p.issuer(ctx)
	pair, err := issuer.IssueAPIServer(p.now, p.commonName(a.name), receiverconfig.AuditOrganization)
	if err != nil {
		return err
	}
	if a.leaf, err = pair.Check(issuer.Cert); err != nil {
		return err
	}
	a.KeyPair, a.CA = pair, p.authority.Servers()
	return p.connect(a)
}

// connect builds the kubeconfig. The CAs in it stay as long as they suffice, so
// that a file that works does not change.
func (p *pass) connect(a *apiServer) (err error) {
	trusted, err := pki.ParseBundle(a.CA)
	if err != nil || !slices.ContainsFunc(trusted, p.authority.Current.Leaf.Equal) {
		a.CA = p.authority.Servers()
	}
	a.Kubeconfig, err = auditpolicy.Webhook{
		URL: "https://" + p.ensurer.receiver.APIServerAddress, Account: p.in.Account, APIServer: a.name,
		CA: a.CA, Cert: a.Cert, Key: a.Key,
	}.Kubeconfig()
	return err
}

// conclude notes that the API server uses its new certificate alone. Those that
// it has replaced are refused from then on, or as soon as that is asked for.
func (p *pass) conclude(ctx context.Context, a *apiServer) error {
	own := pki.Fingerprint(a.leaf)
	if !a.settled() && (len(a.Replaced) > 0 || p.authority.Next != nil) { // else nobody waits for it
		used, others := p.uses(ctx, a)
		switch {
		case used && len(others) == 0:
			a.Settled = own
			p.log.Info("An API server uses its new certificate", "apiServer", a.name)
		case p.asked[manifests.RevokePrefix+manifests.CertificatesAPIServer+a.name] == own:
			// Nobody is waited for.
		case used:
			p.notes = append(p.notes, stillUsed(a, others))
			return nil
		default:
			return nil
		}
	}
	if err := p.refuse(ctx, a.Replaced); err != nil {
		return err
	}
	a.Replaced = nil
	return nil
}

// stillUsed says that the API server is not the only one to post under its name.
func stillUsed(a *apiServer, others []string) string {
	if slices.ContainsFunc(a.Replaced, func(c *x509.Certificate) bool { return slices.Contains(others, pki.Fingerprint(c)) }) {
		return fmt.Sprintf("The API server %s uses its new certificate, and the old certificate is still used, too: it is refused ten minutes after its last use. "+
			"Was it stolen? `kubectl trail webhook-config --revoke --apiserver %s` refuses it at once.", a.name, a.name)
	}
	return fmt.Sprintf("The API server %s uses its new certificate, and one is still used that the manager has not kept. "+
		"Was it stolen? `kubectl trail webhook-config --rotate-ca --revoke` refuses it at once, with all others of the old CA.", a.name)
}

// uses reports whether the API server has posted with its certificate, and the
// fingerprints of the others with which somebody has posted as it for a while
// before. All times are of the receiver's clock.
func (p *pass) uses(ctx context.Context, a *apiServer) (own bool, others []string) {
	s := p.status(ctx)
	if s == nil {
		return false, nil
	}
	i := slices.IndexFunc(s.Intake.Sources, func(s receiverstatus.Source) bool {
		return s.Cluster == p.in.Account && s.APIServer == a.name
	})
	if i < 0 {
		return false, nil
	}
	used, name := s.Intake.Sources[i].Certificates, pki.Fingerprint(a.leaf)
	n := slices.IndexFunc(used, func(c receiverstatus.SourceCertificate) bool { return c.SHA256 == name })
	if n < 0 {
		return false, nil
	}
	quiet := used[n].LastPost.Add(-p.settle)
	if s.Started.After(quiet) {
		return false, nil // what happened before is not known
	}
	for _, c := range used {
		if c.SHA256 != name && c.LastPost.After(quiet) {
			others = append(others, c.SHA256)
		}
	}
	return true, others
}
