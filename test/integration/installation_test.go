package integration

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/signing"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fresh is a configuration for an installation in a namespace of its own.
func fresh(t *testing.T, name string) *managerconfig.Config {
	t.Helper()
	c := config(t)
	c.Namespace = namespace(t, name)
	return c
}

func ensure(t *testing.T, c *managerconfig.Config) *installation.Installation {
	t.Helper()
	in, err := installation.Ensure(t.Context(), admin, c, clocktesting.NewFakePassiveClock(epoch))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// lead has the manager do what it does first when it leads.
func lead(t *testing.T, c *managerconfig.Config, in *installation.Installation) *installation.Installation {
	t.Helper()
	k := &installation.Keeper{
		Installation: in, Receiver: newReceiver(t, c.Namespace), Events: events.NewFakeRecorder(8), Expiry: installation.NewExpiry(),
	}
	if err := k.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	return in
}

func readSecret(t *testing.T, ns, name string) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func certificate(t *testing.T, ns, name string) *x509.Certificate {
	t.Helper()
	ca, _ := manifests.ReadCertificate(readSecret(t, ns, manifests.IntakeCAName))
	_, pair := manifests.ReadCertificate(readSecret(t, ns, name))
	cert, err := pair.Check(ca)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return cert
}

func TestEnsure(t *testing.T) {
	c := fresh(t, "ensure")
	first := ensure(t, c)
	l, err := newReceiver(t, c.Namespace).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l.Config.Generation != 1 || l.Config.Installation != first.Installation || len(l.Trails) != 0 {
		t.Errorf("rendered %+v", l.Config)
	}
	key, err := signing.ParsePEM(l.SigningKey)
	if err != nil || first.Keys[0].Fingerprint != key.Fingerprint() {
		t.Errorf("the key that signs is not the one that is published: %v", err)
	}
	if !pki.HasNames(certificate(t, c.Namespace, manifests.ServerCertName), []string{"127.0.0.1"}) {
		t.Error("the server's certificate has another name")
	}
	subject := certificate(t, c.Namespace, manifests.APIServerCertName("cp-1")).Subject
	if subject.CommonName != "000000000042:cp-1" || subject.Organization[0] != receiverconfig.AuditOrganization {
		t.Errorf("API server certificate for %v", subject)
	}
	if cn := certificate(t, c.Namespace, manifests.ManagerCertName).Subject.CommonName; cn != receiverconfig.ManagerCommonName {
		t.Errorf("manager certificate for %v", cn)
	}

	again := ensure(t, c)
	first.Publisher, again.Publisher = nil, nil
	if d := cmp.Diff(first, again, cmpopts.IgnoreUnexported(installation.Installation{})); d != "" {
		t.Errorf("a second start changes the installation: %s", d)
	}
	if l, err := newReceiver(t, c.Namespace).load(t.Context()); err != nil || l.Config.Generation != 1 {
		t.Errorf("a second start renders a new generation: %v", err)
	}

	// What the installer changes is rendered; the receiver's new name is certified.
	c.Receiver.Names, c.TrustedProxies = []string{"receiver.example.com"}, []string{"10.0.0.0/8"}
	next := ensure(t, c)
	if l, err := newReceiver(t, c.Namespace).load(t.Context()); err != nil || l.Config.Generation != 1 {
		t.Errorf("a manager that does not lead yet renders: %v", err)
	}
	lead(t, c, next)
	if !pki.HasNames(certificate(t, c.Namespace, manifests.ServerCertName), []string{"receiver.example.com", "127.0.0.1"}) {
		t.Error("the receiver's new name is not in its certificate")
	}
	l, err = newReceiver(t, c.Namespace).load(t.Context())
	if err != nil || l.Config.Generation != 2 || len(l.Config.TrustedProxies) != 1 {
		t.Errorf("rendered %+v, %v", l, err)
	}
	block, _ := pem.Decode(l.ServerCert)
	if !certificate(t, c.Namespace, manifests.ServerCertName).Equal(mustParse(t, block.Bytes)) {
		t.Error("the receiver has the old certificate")
	}
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEnsureAtOnce: two managers that start at once end with one installation.
func TestEnsureAtOnce(t *testing.T) {
	c := fresh(t, "ensure-at-once")
	c.Account = ""
	const managers = 4
	var wg sync.WaitGroup
	var all [managers]*installation.Installation
	for i := range all {
		wg.Go(func() {
			for { // losing a race over what is rendered is an error, after which a manager starts again
				in, err := installation.Ensure(t.Context(), admin, c, clocktesting.NewFakePassiveClock(epoch))
				if err == nil {
					all[i] = in
					return
				}
				if t.Context().Err() != nil || !strings.Contains(err.Error(), "modified") && !strings.Contains(err.Error(), "conflict") {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i, in := range all {
		if in == nil {
			t.Fatalf("manager %d has no installation", i)
		}
		in.Publisher = nil
		if d := cmp.Diff(all[0], in, cmpopts.IgnoreUnexported(installation.Installation{})); d != "" {
			t.Errorf("manager %d: %s", i, d)
		}
	}
	if !regexp.MustCompile(`^\d{12}$`).MatchString(all[0].Account) {
		t.Errorf("derived account %q", all[0].Account)
	}
	if _, err := newReceiver(t, c.Namespace).load(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEnsureKeepsTheAccount(t *testing.T) {
	c := fresh(t, "account")
	c.Account = ""
	derived := ensure(t, c).Account
	var cm corev1.ConfigMap
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: manifests.InstallationName}, &cm); err != nil {
		t.Fatal(err)
	}
	if cm.Data[manifests.InstallationAccount] != derived || cm.Data[manifests.InstallationReceiverURL] != "https://127.0.0.1:9443" {
		t.Errorf("kept %v", cm.Data)
	}
	cm.Data[manifests.InstallationAccount] = "000000000007" // as a cluster that was restored from a backup has it
	if err := admin.Update(t.Context(), &cm); err != nil {
		t.Fatal(err)
	}
	if got := ensure(t, c).Account; got != "000000000007" {
		t.Errorf("account %s, want the one that was kept", got)
	}
}

func TestEnsureRefusesWhatWasChanged(t *testing.T) {
	for name, tc := range map[string]struct{ secret, key, want string }{
		"ca":      {manifests.IntakeCAName, corev1.TLSPrivateKeyKey, "changed by hand"},
		"signing": {manifests.SigningKeyName, receiverconfig.FileSigningKey, "restore it from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fresh(t, "changed-"+name)
			ensure(t, c)
			s := readSecret(t, c.Namespace, tc.secret)
			s.Data[tc.key] = []byte("planted-secret")
			if err := admin.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			_, err := installation.Ensure(t.Context(), admin, c, clocktesting.NewFakePassiveClock(epoch))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func rendered(uid string, generation int64) receiverconfig.Trail {
	return receiverconfig.Trail{
		UID: uid, Name: "a.b", Namespace: "a", ARN: "arn", Generation: generation, MaxFileAgeSeconds: 30, MaxFileSizeMiB: 1,
		Destination: receiverconfig.Destination{Bucket: "logs", Region: "r"},
	}
}

// TestPublisher: what is rendered is complete after each change, and no change
// renders nothing.
func TestPublisher(t *testing.T) {
	c := fresh(t, "publisher")
	p := ensure(t, c).Publisher
	ctx, r := t.Context(), newReceiver(t, c.Namespace)
	generation := func() int64 {
		t.Helper()
		l, err := r.load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return l.Config.Generation
	}
	for i, step := range []struct {
		do   func() error
		want int64
	}{
		{func() error { return p.Put(ctx, rendered("one", 1)) }, 2},
		{func() error { return p.Put(ctx, rendered("one", 1)) }, 2},
		{func() error { return p.Put(ctx, rendered("two", 1)) }, 3},
		{func() error { return p.Put(ctx, rendered("one", 2)) }, 4},
		{func() error { return p.Remove(ctx, "one") }, 5},
		{func() error { return p.Remove(ctx, "one") }, 5},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := generation(); got != step.want {
			t.Errorf("step %d: generation %d, want %d", i, got, step.want)
		}
	}
	if uids, err := p.UIDs(ctx); err != nil || len(uids) != 1 || uids[0] != "two" {
		t.Errorf("rendered %v, %v", uids, err)
	}
	large := rendered("large", 1)
	large.Destination.CA = make([]byte, receiverconfig.MaxTrailSize)
	if err := p.Put(ctx, large); !errors.Is(err, installation.ErrTooLarge) {
		t.Errorf("a large trail: %v", err)
	}
	if got := generation(); got != 5 {
		t.Errorf("a refused trail changed generation %d", got)
	}
}

// TestPublisherHeals: when the manager ends between the two writes, the
// receiver waits and the next manager completes them.
func TestPublisherHeals(t *testing.T) {
	c := fresh(t, "heals")
	p := ensure(t, c).Publisher
	ctx, r := t.Context(), newReceiver(t, c.Namespace)
	if err := p.Put(ctx, rendered("one", 1)); err != nil {
		t.Fatal(err)
	}
	base := readSecret(t, c.Namespace, manifests.ReceiverConfigName)
	if err := p.Put(ctx, rendered("one", 2)); err != nil {
		t.Fatal(err)
	}
	now := readSecret(t, c.Namespace, manifests.ReceiverConfigName)
	now.Data = base.Data // as if the second write had not happened
	if err := admin.Update(ctx, now); err != nil {
		t.Fatal(err)
	}
	if _, err := r.load(ctx); !errors.Is(err, receiverconfig.ErrIncomplete) {
		t.Errorf("the receiver loads half an update: %v", err)
	}
	next := ensure(t, c).Publisher
	if err := next.Put(ctx, rendered("one", 2)); err != nil {
		t.Fatal(err)
	}
	if l, err := r.load(ctx); err != nil || l.Trails[0].Generation != 2 {
		t.Errorf("not healed: %v", err)
	}
	// The first manager has lost its lead without noticing: its write is refused.
	if err := p.Put(ctx, rendered("one", 3)); err == nil {
		t.Error("a stale manager has overwritten the configuration")
	}
	if err := p.Put(ctx, rendered("one", 3)); err != nil {
		t.Errorf("it does not read anew: %v", err)
	}
}

// TestStandby: a manager that stands by while another renders, and leads then,
// drops nothing of what is rendered.
func TestStandby(t *testing.T) {
	c := fresh(t, "standby")
	leader, standby := lead(t, c, ensure(t, c)).Publisher, ensure(t, c).Publisher
	ctx, r := t.Context(), newReceiver(t, c.Namespace)
	var uids []string
	for i := 0; len(uids) < 4; i++ {
		if uid := fmt.Sprintf("u%d", i); manifests.ReceiverShard(uid, false) == 3 {
			uids = append(uids, uid)
		}
	}
	stored := func() string {
		t.Helper()
		l, err := r.load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, trail := range l.Trails {
			all = append(all, trail.UID)
		}
		return strings.Join(all, " ")
	}
	// Two that know of no shard: what the first makes is not the second's to drop.
	if _, err := leader.UIDs(ctx); err != nil {
		t.Fatal(err)
	}
	other := lead(t, c, ensure(t, c)).Publisher
	for _, uid := range uids[:2] {
		if err := leader.Put(ctx, rendered(uid, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Put(ctx, rendered(uids[2], 1)); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a stale manager that knows of no shard: %v", err)
	}
	if err := other.Put(ctx, rendered(uids[2], 1)); err != nil {
		t.Fatal(err)
	}
	if err := standby.Put(ctx, rendered(uids[3], 1)); err != nil {
		t.Fatal(err)
	}
	if got, want := stored(), strings.Join(uids, " "); got != want {
		t.Errorf("the trails %s are rendered, want %s", got, want)
	}
	for _, uid := range uids[:3] {
		if err := standby.Remove(ctx, uid); err != nil {
			t.Fatal(err)
		}
	}
	if got := stored(); got != uids[3] {
		t.Errorf("the trails %s are rendered, want %s", got, uids[3])
	}
	// The Secret is deleted by hand: it is made again.
	if err := admin.Delete(ctx, readSecret(t, c.Namespace, manifests.ReceiverShardName(3))); err != nil {
		t.Fatal(err)
	}
	if err := standby.Put(ctx, rendered(uids[3], 2)); err != nil {
		t.Fatal(err)
	}
	if got := stored(); got != uids[3] {
		t.Errorf("the trails %s are rendered, want %s", got, uids[3])
	}
}

// TestKinds: the receiver learns the kinds of custom resources, and a snapshot
// has another number only when it differs.
func TestKinds(t *testing.T) {
	c := fresh(t, "kinds")
	p := ensure(t, c).Publisher
	resources, err := discovery.NewDiscoveryClientForConfig(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- (&installation.Kinds{Discovery: resources, Publisher: p}).Start(ctx) }()
		eventually(t, func() string {
			if l, err := newReceiver(t, c.Namespace).load(t.Context()); err != nil || len(l.Config.Kinds.List) == 0 {
				return "the kinds"
			}
			return ""
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	run()
	run()
	ensure(t, c) // keeps them
	l, err := newReceiver(t, c.Namespace).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := receiverconfig.Kind{Group: "trail-operator.io", Resource: "trails", Kind: "Trail"}
	if l.Config.Kinds.Snapshot != 1 || !slices.Contains(l.Config.Kinds.List, want) {
		t.Errorf("snapshot %d: %v", l.Config.Kinds.Snapshot, l.Config.Kinds.List)
	}
	for _, k := range l.Config.Kinds.List {
		if strings.Contains(k.Resource, "/") {
			t.Errorf("a subresource is listed: %v", k)
		}
	}
}

// failing refuses the first write of one object.
type failing struct {
	client.Client
	name string
}

func (f *failing) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	if s, ok := obj.(*corev1ac.SecretApplyConfiguration); ok && *s.Name == f.name {
		f.name = ""
		return errAway
	}
	return f.Client.Apply(ctx, obj, opts...)
}

// TestPublisherTriesAgain: a trail whose second write failed is completed when
// it is put again, although its own file is there already.
func TestPublisherTriesAgain(t *testing.T) {
	c := fresh(t, "tries-again")
	ensure(t, c)
	p := installation.NewPublisher(&failing{admin, manifests.ReceiverConfigName}, c.Namespace)
	if err := p.Put(t.Context(), rendered("one", 1)); !errors.Is(err, errAway) {
		t.Fatalf("got %v", err)
	}
	if err := p.Put(t.Context(), rendered("one", 1)); err != nil {
		t.Fatal(err)
	}
	if l, err := newReceiver(t, c.Namespace).load(t.Context()); err != nil || len(l.Trails) != 1 {
		t.Errorf("the receiver does not get the trail: %v", err)
	}
}
