package trail_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/controllers/organizationtrail"
	"github.com/trail-operator/trail-operator/controllers/trail"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/fuzzing"
)

// planted are the values of Secrets, which nobody may see.
const planted = "pl4nted-secret"

var words = []string{
	"Manage", "Observe", "SSE-S3", "SSE-KMS", "Enabled", "Disabled", "Governance", "Compliance", "Auto", "Path", "logs", "eu-1", "bucket", "chosen",
	"topic", "security", "Exists", "In", "NotIn", "DoesNotExist", "All", "ReadOnly", "WriteOnly", "Management", "Data", "eventCategory", "eventName",
	"readOnly", "resources.type", "AWS::S3::Object", "true", "GLACIER", "team-a", "o-0123456789",
	receiverstatus.ReasonNoBucket, receiverstatus.ReasonAccessDenied, receiverstatus.ReasonOther,
}

// faults are what a server may answer to anything.
var faults = []error{
	objectstore.ErrNotExist, objectstore.ErrNoBucket, objectstore.ErrExists, objectstore.ErrAccessDenied,
	objectstore.ErrBadCredentials, objectstore.ErrCertificate, objectstore.ErrUnreachable, objectstore.ErrClockSkew, objectstore.ErrThrottled,
	objectstore.ErrBadDigest, objectstore.ErrNotImplemented, objectstore.ErrForbiddenAddress, objectstore.ErrRegion, objectstore.ErrKey,
	objectstore.ErrArchived, objectstore.ErrChanged, objectstore.ErrNotKept, objectstore.ErrBucketState, errors.New("another"),
}

// universe is everything that a reconciliation talks to, all of it hostile.
type universe struct {
	t      *testing.T
	s      *fuzzing.Source
	wild   int // one in so many calls fails; 0: none
	schema *fuzzing.Status
	client client.Client
	calm   bool // while the test itself writes

	mu   sync.Mutex
	said []string // Events, log lines and errors
}

// fails is the mood of this universe.
func (u *universe) fails() bool { return u.wild > 0 && u.s.OneIn(u.wild) }

func (u *universe) say(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.said = append(u.said, fmt.Sprintf(format, args...))
}

// Eventf implements events.EventRecorder, with the bounds of the API server.
func (u *universe) Eventf(_, _ runtime.Object, kind, reason, action, format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	if reason == "" || len(reason) > 128 || action == "" || len(note) > 1024 || !utf8.ValidString(note) || kind != corev1.EventTypeNormal && kind != corev1.EventTypeWarning {
		u.t.Fatalf("an Event %q %q %q with %d bytes: %q", kind, reason, action, len(note), note)
	}
	u.say("%s", note)
}

// Status implements trail.Receiver.
func (u *universe) Status(context.Context) (*receiverstatus.Status, error) {
	if u.fails() {
		return nil, errors.New("the receiver does not answer")
	}
	s := &receiverstatus.Status{}
	u.s.Fill(s, words...)
	for _, uid := range []string{"u-0", "u-1", "u-2", "x"} {
		if u.s.OneIn(5) {
			continue
		}
		of := receiverstatus.Trail{}
		u.s.Fill(&of, words...)
		of.UID = uid
		if rendered, ok := u.rendered(uid); ok && !u.s.OneIn(5) { // it follows
			of.Generation, of.SelectionSHA256 = rendered.Generation, receiverconfig.SelectionSHA256(rendered.Selection)
		}
		s.Trails = append(s.Trails, of)
	}
	return s, nil
}

// rendered is what of a trail is in the receiver's configuration.
func (u *universe) rendered(uid string) (receiverconfig.Trail, bool) {
	u.calm = true
	defer func() { u.calm = false }()
	var s corev1.Secret
	key := client.ObjectKey{Namespace: "system", Name: manifests.ReceiverShardName(manifests.ReceiverShard(uid, uid == "u-2"))}
	if u.client.Get(context.Background(), key, &s) != nil {
		return receiverconfig.Trail{}, false
	}
	t, err := receiverconfig.ParseTrail(s.Data[receiverconfig.TrailFile(uid)])
	return t, err == nil
}

// Record implements trail.Receiver.
func (u *universe) Record(_ context.Context, events ...record.OwnEvent) error {
	for _, e := range events {
		u.say("%s %s", e.ID, e.Details)
	}
	if u.fails() {
		return errors.New("the receiver does not answer")
	}
	return nil
}

// refusal is what the API server answers instead of doing something.
func (u *universe) refusal(name string) error {
	if u.calm || !u.fails() {
		return nil
	}
	gr := schema.GroupResource{Resource: "any"}
	return fuzzing.Pick[error](u.s,
		apierrors.NewForbidden(gr, name, errors.New("no")), apierrors.NewNotFound(gr, name), apierrors.NewConflict(gr, name, errors.New("no")),
		apierrors.NewInvalid(schema.GroupKind{Kind: "Any"}, name, nil), apierrors.NewTooManyRequests("slow down", 1), errors.New("connection refused"),
	)
}

// check requires that the status of an object is one that the API server takes.
func (u *universe) check(o client.Object) {
	var t *v1alpha1.Trail
	switch o := o.(type) {
	case *v1alpha1.Trail:
		t = o
	case *v1alpha1.OrganizationTrail:
		t = o.AsTrail()
	default:
		u.t.Fatalf("a status of %T is written", o)
	}
	if err := u.schema.Check(t.Status, t.Status.Conditions, t.Generation); err != nil {
		u.t.Fatal(err)
	}
	u.say("%s", record.MustJSON(t.Status))
}

// start makes the API server with what is there at the beginning.
func (u *universe) start(objects ...client.Object) {
	scheme := runtime.NewScheme()
	// No more than it needs: the fake client goes through all of it at each write.
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			u.t.Fatal(err)
		}
	}
	u.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.Trail{}, &v1alpha1.OrganizationTrail{}, &v1alpha1.EventSelector{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if err := u.refusal(key.Name); err != nil {
					return err
				}
				return c.Get(ctx, key, o, opts...)
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				if err := u.refusal(o.GetName()); err != nil {
					return err
				}
				return c.Patch(ctx, o, p, opts...)
			},
			Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				if err := u.refusal("applied"); err != nil {
					return err
				}
				return c.Apply(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, _ string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				u.check(o)
				if err := u.refusal(o.GetName()); err != nil {
					return err
				}
				return c.Status().Patch(ctx, o, p, opts...)
			},
		}).Build()
}

// spec draws one that the API server might have taken, or never would have.
func spec(from *fuzzing.Source) (s v1alpha1.TrailSpec) {
	from.Fill(&s, words...)
	if len(s.Destination.Prefix) > 200 { // it stands in the status
		s.Destination.Prefix = "team-a"
	}
	if l := s.Destination.ObjectLock; l != nil { // as does this
		l.Mode = fuzzing.Pick(from, v1alpha1.LockGovernance, v1alpha1.LockCompliance)
	}
	if from.Int(4) > 0 { // else most end early
		s.Destination.CA, s.Destination.CredentialsSecretRef = "", &v1alpha1.CredentialsSecretRef{Name: "bucket"}
		s.EventSelectors, s.EventSelectorRefs, s.EventSelectorLabels = nil, nil, nil
		if e := s.Destination.Encryption; e != nil {
			e.Type = fuzzing.Pick(from, v1alpha1.EncryptionS3, v1alpha1.EncryptionKMS)
		}
		if from.Bool() {
			s.Destination.Lifecycle, s.Destination.Tags = nil, nil
		}
		if from.OneIn(3) {
			s.EventSelectorRefs = []v1alpha1.EventSelectorRef{{Name: "chosen"}}
		}
	}
	return s
}

// FuzzReconcile takes trails of both kinds through reconciliations while specs,
// Secrets, EventSelectors, receiver, API server and buckets are anything:
// nothing panics, every status is one that the API server takes, and no value of
// a Secret is told to anybody.
func FuzzReconcile(f *testing.F) {
	schema, err := fuzzing.StatusOf("../../config/crd/trail-operator.io_trails.yaml")
	if err != nil {
		f.Fatal(err)
	}
	fuzzing.Run(f, 40, func(t *testing.T, s *fuzzing.Source) {
		u := &universe{t: t, s: s, schema: schema, wild: fuzzing.Pick(s, 0, 0, 40, 10, 3)}
		clk := clocktesting.NewFakeClock(time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC))
		kinds := []trail.Kind{trail.Namespaced{}, organizationtrail.Kind{}}

		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bucket"}, Data: map[string][]byte{}}
		for _, key := range []string{v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey, v1alpha1.SecretSessionToken, "other"} {
			if s.Int(20) > 0 {
				secret.Data[key] = []byte(planted + fuzzing.Pick(s, "", "\n", "\xff", strings.Repeat("x", 5000)))
			}
		}
		ours := secret.DeepCopy()
		ours.Namespace = "system"
		chosen := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chosen", Labels: map[string]string{"topic": "security"}}}
		s.Fill(&chosen.Spec, words...)
		objects := []client.Object{secret, ours, chosen}
		var keys []client.ObjectKey
		for i := range 3 {
			tr := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("audit-%d", i), UID: types.UID(fmt.Sprintf("u-%d", i)), Generation: 1}}
			if i == 2 {
				tr.Namespace = ""
			}
			tr.Spec = spec(s)
			s.Fill(&tr.Annotations, v1alpha1.AnnotationAllowShortening)
			keys = append(keys, client.ObjectKeyFromObject(tr))
			objects = append(objects, kinds[i/2].Object(tr))
		}
		u.start(objects...)

		store := memory.New(clk)
		store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
			if !u.fails() {
				return memory.Fault{}
			}
			err := fuzzing.Pick(s, faults...)
			switch s.Int(6) {
			case 0:
				return memory.Fault{Lose: err}
			case 1:
				return memory.Fault{Refuse: err, IgnoreEncryption: true, IgnoreRetention: true, IgnoreSetting: true}
			}
			return memory.Fault{Refuse: err}
		})
		if s.Bool() {
			store.DeleteBucket()
		}
		if s.OneIn(4) {
			store.Overwrite(s.String("shop/audit-0/AWSLogs/000000000042/trail-owner.json"), []byte(s.String("{}")))
		}

		u.calm = true
		in := &installation.Installation{
			Installation: receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"},
			Keys:         []record.PublishedKey{{Fingerprint: "ff"}}, Publisher: trail.NewPublisher(t, u.client),
		}
		u.calm = false
		poller := &trail.Poller{
			Client: u.client, Receiver: u, Installation: in, Clock: clk, Abandoned: trail.NewAbandoned(),
			Report: &trail.Report{Client: u.client, Namespace: "system", APIServers: []string{"cp-1"}, Clock: clk, Installation: in},
		}
		config := &managerconfig.Config{Namespace: "system", TrailsPerNamespace: 1 + s.Int(3)}
		var woken []<-chan event.GenericEvent
		var controllers []*trail.Reconciler
		for _, kind := range kinds {
			woken = append(woken, poller.Subscribe(kind))
			controllers = append(controllers, &trail.Reconciler{
				Kind: kind, Client: u.client, Config: config, Installation: in, Receiver: u, Events: u, Clock: clk, Poller: poller,
				Open: func(objectstore.Config) (objectstore.Managed, error) {
					if u.fails() {
						return nil, fuzzing.Pick(s, faults...)
					}
					return store, nil
				},
			})
		}
		ctx := logf.IntoContext(context.Background(), funcr.New(func(_, line string) { u.say("%s", line) }, funcr.Options{Verbosity: 9}))
		for range 1 + s.Int(5) {
			poller.Poll(ctx)
			for i, key := range keys {
				if _, err := controllers[i/2].Reconcile(ctx, ctrl.Request{NamespacedName: key}); err != nil {
					u.say("%v", err)
				}
			}
			for _, c := range woken {
				for len(c) > 0 {
					<-c
				}
			}
			clk.Step(fuzzing.Pick(s, time.Second, time.Minute, 11*time.Minute, 48*time.Hour))
			u.change(ctx, kinds, keys)
		}
		for _, line := range u.said {
			if strings.Contains(line, planted) {
				t.Fatalf("it tells a secret: %s", line)
			}
		}
	})
}

// change does to one trail what its owner might do.
func (u *universe) change(ctx context.Context, kinds []trail.Kind, keys []client.ObjectKey) {
	u.calm = true
	defer func() { u.calm = false }()
	i := u.s.Int(len(keys))
	tr, err := kinds[i/2].Get(ctx, u.client, keys[i])
	if err != nil {
		return
	}
	switch u.s.Int(6) {
	case 0:
		err = u.client.Delete(ctx, kinds[i/2].Object(tr))
	case 1:
		tr.Spec, tr.Generation = spec(u.s), tr.Generation+1
		err = u.client.Update(ctx, kinds[i/2].Object(tr))
	case 2:
		tr.Spec.Suspend, tr.Generation = !tr.Spec.Suspend, tr.Generation+1
		err = u.client.Update(ctx, kinds[i/2].Object(tr))
	case 3:
		err = u.client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bucket"}})
	case 4:
		e := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chosen"}}
		if u.client.Get(ctx, client.ObjectKeyFromObject(e), e) == nil {
			e.Spec = v1alpha1.EventSelectorSpec{}
			u.s.Fill(&e.Spec, words...)
			err = u.client.Update(ctx, e)
		}
	}
	if client.IgnoreNotFound(err) != nil {
		u.t.Fatal(err)
	}
}
