package installation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// keep makes the certificates that are missing, carries out what was asked for,
// and renders the result. Whatever ends it half-way, the next time goes on: each
// step is one write, follows from what is stored alone, and is refused when
// another manager has written in between.
func (e *ensurer) keep(ctx context.Context) error {
	return retry.OnError(retry.DefaultBackoff, again, func() error {
		p := &pass{ensurer: e, now: e.clock.Now(), log: logf.FromContext(ctx).WithName("certificates")}
		if err := p.run(ctx); err != nil {
			return err
		}
		e.in.SetCertificates(p.result())
		if err := e.render(ctx); err != nil {
			return err
		}
		if err := p.tell(ctx); err != nil {
			return err
		}
		if len(p.failures) > 0 {
			return &unkept{errors.Join(p.failures...)}
		}
		return nil
	})
}

// again: another manager has written in between.
func again(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// unkept is what is wrong with the certificates of some API servers, when
// everything else was kept.
type unkept struct{ error }

func (u *unkept) Unwrap() error { return u.error }

// pass looks at every certificate once.
type pass struct {
	*ensurer
	now time.Time
	log logr.Logger

	asked     map[string]string // data of the ConfigMap of certificates
	authority *manifests.Authority
	stored    *corev1.Secret // that of the authority

	asksReceiver bool
	receiver     *receiverstatus.Status
	server       holder
	manager      holder
	apiServers   []*apiServer
	unkept       []string // names of those whose certificate cannot be kept
	failures     []error  // why
	notes        []string
	// API servers that the rotation of the CA waits for: to have a certificate of
	// the next one, and to use it alone.
	lacking, waiting []string
}

// holder is a certificate with its key.
type holder struct {
	pki.KeyPair
	leaf *x509.Certificate
}

func (p *pass) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		p.read, p.begin, p.managerCertificate, p.apiServerCertificates, p.finish, p.serverCertificate, p.retire,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begunAnew says what it takes to have another CA made.
const begunAnew = "restore it from the backup; or delete it and the Secret " + manifests.ServerCertName +
	" to begin anew, which cuts each API server off until it has its new file"

// read reads the CA, or makes it, and what was asked for. A CA that is gone from
// an installation that has one is not replaced: what is rendered for the
// receiver goes on serving every API server, and another CA would serve none.
func (p *pass) read(ctx context.Context) error {
	var asked corev1.ConfigMap
	err := p.client.Get(ctx, client.ObjectKey{Namespace: p.config.Namespace, Name: manifests.CertificatesName}, &asked)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the ConfigMap %s: %w", manifests.CertificatesName, err)
	}
	p.asked = asked.Data
	// This comes first, for another manager may be making both, in this order.
	var server corev1.Secret
	err = p.client.Get(ctx, client.ObjectKey{Namespace: p.config.Namespace, Name: manifests.ServerCertName}, &server)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the Secret %s: %w", manifests.ServerCertName, err)
	}
	begun := err == nil
	p.stored, err = p.secret(ctx, manifests.IntakeCAName, func() (*corev1.Secret, error) {
		if begun {
			return nil, fmt.Errorf("the Secret %s was deleted, and the certificates that are in use need it: %s", manifests.IntakeCAName, begunAnew)
		}
		ca, err := p.newCA()
		if err != nil {
			return nil, err
		}
		return (&manifests.Authority{Current: ca}).Secret(p.config.Namespace), nil
	})
	if err != nil {
		return err
	}
	if p.authority, err = manifests.ReadAuthority(p.stored); err != nil {
		return fmt.Errorf("the Secret %s was changed by hand: %s", p.stored.Name, begunAnew)
	}
	return nil
}

func (p *pass) newCA() (manifests.CA, error) {
	pair, err := pki.NewCA("trail-operator intake "+p.in.UID, p.now)
	if err != nil {
		return manifests.CA{}, err
	}
	return manifests.NewCA(pair)
}

// begin begins the rotation of the CA that was asked for. The receiver trusts
// both from then on. A CA that has expired leaves at once: nobody accepts what
// it has issued any more. So does one that is revoked: nobody shall.
func (p *pass) begin(ctx context.Context) error {
	a := *p.authority
	switch expired := pki.Expired(a.Current.Leaf, p.now); {
	case a.Next != nil && (expired || p.asked[manifests.RevokePrefix+manifests.CertificatesCA] == pki.Fingerprint(a.Next.Leaf)):
		a = manifests.Authority{Current: *a.Next}
	case a.Next != nil || p.asked[manifests.RotatePrefix+manifests.CertificatesCA] != pki.Fingerprint(a.Current.Leaf):
		return nil
	default:
		next, err := p.newCA()
		if err != nil {
			return err
		}
		if expired {
			a = manifests.Authority{Current: next}
		} else {
			a.Next = &next
		}
	}
	return p.change(ctx, &a, "A new intake CA begins")
}

// change stores the authority.
func (p *pass) change(ctx context.Context, a *manifests.Authority, what string) error {
	if err := p.update(ctx, p.stored, a.Secret(p.config.Namespace)); err != nil {
		return err
	}
	p.authority = a
	p.log.Info(what, "current", pki.Fingerprint(a.Current.Leaf))
	return nil
}

// issuer is the CA of new client certificates: the next one as soon as the
// receiver is known to trust it.
func (p *pass) issuer(ctx context.Context) manifests.CA {
	if next := p.authority.Next; next != nil {
		if s := p.status(ctx); s != nil && slices.Contains(s.Certificates.ClientCAs, pki.Fingerprint(next.Leaf)) {
			return *next
		}
	}
	return p.authority.Current
}

// status is that of the receiver, nil when it does not answer.
func (p *pass) status(ctx context.Context) *receiverstatus.Status {
	if !p.asksReceiver && p.receiverStatus != nil {
		p.asksReceiver, p.receiver = true, p.receiverStatus(ctx)
	}
	return p.receiver
}

// managerCertificate keeps the one with which the manager calls the receiver.
func (p *pass) managerCertificate(ctx context.Context) (err error) {
	issuer := p.issuer(ctx)
	p.manager, err = p.renewed(ctx, manifests.ManagerCertName, p.authority.Clients(), issuer,
		func(cert *x509.Certificate) bool {
			return p.authority.Next == nil || issuer.Leaf == p.authority.Current.Leaf || issued(issuer, cert)
		},
		func() (pki.KeyPair, error) { return issuer.IssueClient(p.now, receiverconfig.ManagerCommonName) })
	return err
}

// serverCertificate keeps the receiver's. It is issued anew, too, when the
// configuration names the receiver differently.
func (p *pass) serverCertificate(ctx context.Context) (err error) {
	issuer, names := p.authority.Current, p.ensurer.receiver.ServerNames()
	p.server, err = p.renewed(ctx, manifests.ServerCertName, issuer.Cert, issuer,
		func(cert *x509.Certificate) bool { return pki.HasNames(cert, names) },
		func() (pki.KeyPair, error) { return issuer.IssueServer(p.now, names...) })
	return err
}

// renewed keeps a certificate that nobody has to put in place: it is issued
// when there is none of the CAs, or not a good one, or two thirds of its life
// are over.
func (p *pass) renewed(ctx context.Context, name string, cas []byte, issuer manifests.CA, good func(*x509.Certificate) bool, issue func() (pki.KeyPair, error)) (holder, error) {
	var made bool
	stored, err := p.secret(ctx, name, func() (*corev1.Secret, error) {
		made = true
		pair, err := issue()
		return manifests.Certificate(p.config.Namespace, name, p.authority.Servers(), pair), err
	})
	if err != nil {
		return holder{}, err
	}
	_, pair := manifests.ReadCertificate(stored)
	cert, err := pair.Check(cas)
	if err != nil || !good(cert) || pki.RenewalDue(cert, issuer.Leaf, p.now) {
		if pair, err = issue(); err != nil {
			return holder{}, err
		}
		if cert, err = pair.Check(issuer.Cert); err != nil {
			return holder{}, err
		}
		made = true
	}
	if made {
		p.log.Info("Issued a certificate", "secret", name, "end", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return holder{pair, cert}, p.update(ctx, stored, manifests.Certificate(p.config.Namespace, name, p.authority.Servers(), pair))
}

// issued reports whether the CA has issued the certificate.
func issued(by manifests.CA, cert *x509.Certificate) bool {
	return cert.CheckSignatureFrom(by.Leaf) == nil
}

// finish ends the rotation of the CA when every API server, and the manager,
// holds a certificate of the next one, and none uses another.
func (p *pass) finish(ctx context.Context) error {
	next := p.authority.Next
	if next == nil {
		return nil
	}
	for _, a := range p.apiServers {
		switch {
		case !issued(*next, a.leaf):
			p.lacking = append(p.lacking, a.name)
		case !a.settled():
			p.waiting = append(p.waiting, a.name)
		}
	}
	p.lacking = append(p.lacking, p.unkept...)
	if len(p.lacking) > 0 || len(p.waiting) > 0 || !issued(*next, p.manager.leaf) {
		return nil
	}
	return p.change(ctx, &manifests.Authority{Current: *next, Previous: p.authority.Current.Leaf}, "The new intake CA is the only one")
}

// retire forgets the previous CA when the receiver shows a certificate of the
// current one.
func (p *pass) retire(ctx context.Context) error {
	if p.authority.Previous == nil {
		return nil
	}
	if s := p.status(ctx); s == nil || s.Certificates.Server != pki.Fingerprint(p.server.leaf) {
		return nil
	}
	a := *p.authority
	a.Previous = nil
	return p.change(ctx, &a, "The old intake CA is forgotten")
}

// update writes what want holds over the Secret that was read, if they differ.
// What others have put beside it stays.
func (p *pass) update(ctx context.Context, stored, want *corev1.Secret) error {
	next := stored.DeepCopy()
	next.Data = want.Data
	maps.DeleteFunc(next.Annotations, func(name, _ string) bool { return strings.HasPrefix(name, manifests.AnnotationPrefix) })
	for name, value := range want.Annotations {
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, name, value)
	}
	if equality.Semantic.DeepEqual(stored, next) {
		return nil
	}
	if err := p.client.Update(ctx, next); err != nil {
		return fmt.Errorf("writing the Secret %s: %w", next.Name, err)
	}
	*stored = *next
	return nil
}

// result gathers what was found.
func (p *pass) result() *Certificates {
	a := p.authority
	c := &Certificates{
		Roots: a.Servers(), Manager: p.manager.KeyPair, server: p.server.KeyPair, clients: a.Clients(), refused: a.Refused(),
		Ends: []End{
			{Secret: manifests.IntakeCAName, Time: a.Current.Leaf.NotAfter},
			{Secret: manifests.ServerCertName, Time: p.server.leaf.NotAfter},
			{Secret: manifests.ManagerCertName, Time: p.manager.leaf.NotAfter},
		},
	}
	for _, s := range p.apiServers {
		c.Ends = append(c.Ends, s.end())
	}
	switch {
	case a.Next == nil:
	case len(p.waiting) == 0 && !issued(*a.Next, p.manager.leaf):
		c.Rotation = "It waits until the receiver trusts the new CA; then there is a new file for each API server."
	default:
		c.Rotation = waitingFor(p.waiting, p.lacking)
	}
	return c
}

// tell writes down what the command line needs to ask for a rotation.
func (p *pass) tell(ctx context.Context) error {
	data := map[string]string{
		manifests.CertificatesCA:         pki.Fingerprint(p.authority.Current.Leaf),
		manifests.CertificatesReceiverCA: string(p.authority.Servers()),
	}
	if next := p.authority.Next; next != nil {
		data[manifests.CertificatesNextCA] = pki.Fingerprint(next.Leaf)
	}
	if r := p.in.Certificates().Rotation; r != "" {
		p.notes = append(p.notes, r)
	}
	if len(p.notes) > 0 {
		data[manifests.CertificatesRotation] = strings.Join(p.notes, " ")
	}
	for _, a := range p.apiServers {
		data[manifests.CertificatesAPIServer+a.name] = pki.Fingerprint(a.leaf)
	}
	for _, name := range p.unkept {
		if key := manifests.CertificatesAPIServer + name; p.asked[key] != "" {
			data[key] = p.asked[key]
		}
	}
	told := maps.Clone(p.asked)
	maps.DeleteFunc(told, func(key, _ string) bool {
		return strings.HasPrefix(key, manifests.RotatePrefix) || strings.HasPrefix(key, manifests.RevokePrefix)
	})
	if maps.Equal(told, data) {
		return nil
	}
	err := p.client.Apply(ctx, manifests.Certificates(p.config.Namespace, data), client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the ConfigMap %s: %w", manifests.CertificatesName, err)
	}
	return nil
}
