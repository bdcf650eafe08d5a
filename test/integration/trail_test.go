package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

func TestTrailBecomesReady(t *testing.T) {
	e := startEnv(t)
	trail := create(t, tenant(t, "ready"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	condition(t, trail, "BucketReady", "True PrefixClaimed", "The bucket ready", "the prefix ready/audit")
	condition(t, trail, "Receiving", "True ConfigurationInForce", "position 10")
	condition(t, trail, "Delivering", "Unknown NothingToDeliver")
	condition(t, trail, "DigestsCurrent", "Unknown FirstDigestPending")
	absent(t, trail, "Reconciling", "Stalled")
	if trail.Status.TrailARN != "arn:k8s:cloudtrail:eu-1:000000000042:trail/ready.audit" || trail.Status.Prefix != "ready/audit" {
		t.Errorf("ARN %s, prefix %s", trail.Status.TrailARN, trail.Status.Prefix)
	}
	if d := cmp.Diff([]string{"CreateTrail", "StartLogging"}, e.receiver.recorded(uid)); d != "" {
		t.Errorf("recorded: %s", d)
	}
	objects := e.bucket("ready").Objects()
	layout := record.Layout{Prefix: "ready/audit", Account: "000000000042", Region: "eu-1"}
	var owner record.Owner
	if err := json.Unmarshal(objects[layout.Owner()].Body, &owner); err != nil || owner.Trail != uid {
		t.Errorf("owner %+v, %v", owner, err)
	}
	keys := 0
	for key := range objects {
		if strings.HasPrefix(key, layout.DigestKeys()) {
			keys++
		}
	}
	if keys != 1 {
		t.Errorf("%d public keys beside the digests, want 1", keys)
	}
	got := e.receiver.trail(uid)
	if got.Destination.AccessKeyID != "AKIAready" || got.Destination.AllowPrivate || len(got.Destination.DenyHosts) == 0 {
		t.Errorf("rendered destination %+v", got.Destination)
	}

	e.receiver.set(uid, func(s *receiverstatus.Trail) {
		s.LastDelivery, s.LastObject, s.LastDigest = ago(time.Minute), "some/key", ago(time.Minute)
		s.Counts = receiverstatus.Counts{Accepted: 7, Delivered: 5, SelectedOut: 2}
		s.DeliveredBytesDay = 99
		s.Head = &record.Head{ChainID: "c", Sequence: 1, Object: "digest", Signature: "s", Trust: "t", EndTime: "e"}
	})
	condition(t, trail, "Delivering", "True Delivered")
	condition(t, trail, "DigestsCurrent", "True DigestDelivered")
	if trail.Status.Head == nil || trail.Status.Head.Sequence != 1 || trail.Status.LatestDelivery.Key != "some/key" ||
		trail.Status.Counts.Delivered != 5 || trail.Status.DeliveredBytesPerDay != 99 {
		t.Errorf("status %+v", trail.Status)
	}
	e.receiver.set(uid, func(s *receiverstatus.Trail) {
		s.DeliveryError = &receiverstatus.Failure{Code: "AccessDenied", Reason: receiverstatus.ReasonAccessDenied, Message: "planted-secret"}
	})
	condition(t, trail, "Delivering", "False AccessDenied", "Allow s3:ListBucket", "delivered later")
	condition(t, trail, "Ready", "False AccessDenied")
	if trail.Status.LatestDelivery.Error != "AccessDenied" {
		t.Errorf("latest delivery %+v", trail.Status.LatestDelivery)
	}
	eventually(t, func() string { // the head reaches the receiver, for the day its volume is new
		if h := e.receiver.trail(uid).LastHead; h == nil || h.Sequence != 1 {
			return "the head in the receiver's configuration"
		}
		return ""
	})
}

func TestStatusIsWrittenSparingly(t *testing.T) {
	e := startEnv(t)
	trail := create(t, tenant(t, "sparing"))
	uid := string(trail.UID)
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.LastDelivery, s.LastDigest = ago(time.Minute), ago(time.Minute) })
	condition(t, trail, "Ready", "True Recording")
	condition(t, trail, "Delivering", "True Delivered")
	version := trail.ResourceVersion
	for i := range 20 {
		e.receiver.set(uid, func(s *receiverstatus.Trail) {
			s.Counts.Accepted, s.LastObject, s.LastDelivery = int64(i), "key", ago(0)
			s.ClockSkewSeconds = 0
		})
		// A touch reconciles without asking for a new generation.
		if _, err := e.receiver.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
		t.Fatal(err)
	}
	if trail.ResourceVersion != version {
		t.Errorf("counts alone were written at once")
	}
	e.clock.step(2 * time.Minute)
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Head = &record.Head{ChainID: "c", Sequence: 2} })
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
			return err.Error()
		}
		if trail.Status.Counts.Accepted != 19 || trail.Status.Head == nil {
			return "counts and head"
		}
		return ""
	})
}

func TestSuspend(t *testing.T) {
	e := startEnv(t)
	trail := create(t, tenant(t, "suspend"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	if !trail.Status.IsLogging() {
		t.Error("it does not log")
	}
	e.receiver.do(func(r *receiver) { r.frozen = true })
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Suspend = true })
	condition(t, trail, "Receiving", "Unknown ConfigurationSent")
	condition(t, trail, "Reconciling", "True ConfigurationSent")
	// The receiver records neither of the last two once it has stopped.
	if d := cmp.Diff([]string{"CreateTrail", "StartLogging", "UpdateTrail", "StopLogging"}, e.receiver.recorded(uid)); d != "" {
		t.Errorf("recorded before the receiver stops: %s", d)
	}
	e.receiver.do(func(r *receiver) { r.frozen = false })
	condition(t, trail, "Ready", "False Suspending")
	condition(t, trail, "Receiving", "False Suspended")
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
	condition(t, trail, "Ready", "True Suspended")
	absent(t, trail, "Reconciling", "Stalled")
	if trail.Status.IsLogging() || trail.Status.StopLoggingTime == nil {
		t.Error("it still logs")
	}
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = false })
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Suspend = false })
	condition(t, trail, "Ready", "True Recording")
	want := []string{"CreateTrail", "StartLogging", "UpdateTrail", "StopLogging", "UpdateTrail", "StartLogging"}
	eventually(t, func() string { return cmp.Diff(want, e.receiver.recorded(uid)) })
}

// TestSuspendWaitsForTheReceiver: StopLogging must stand in the trail, so a
// receiver that is away is not told to stop before.
func TestSuspendWaitsForTheReceiver(t *testing.T) {
	e := startEnv(t)
	trail := create(t, tenant(t, "suspend-away"))
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	e.receiver.do(func(r *receiver) { r.away = true })
	condition(t, trail, "Receiving", "Unknown ReceiverUnreachable")
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Suspend = true })
	condition(t, trail, "Receiving", "Unknown ReceiverUnreachable")
	if l, err := e.receiver.load(t.Context()); err != nil || l.Trails[slices.IndexFunc(l.Trails, isUID(uid))].Suspended {
		t.Errorf("the receiver was told to stop: %v", err)
	}
	e.receiver.do(func(r *receiver) { r.away = false })
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
	condition(t, trail, "Ready", "True Suspended")
}

func TestManagerRestart(t *testing.T) {
	e := newEnv(t)
	stop := start(t, e)
	trail := create(t, tenant(t, "restart"))
	condition(t, trail, "Ready", "True Recording")
	stop()
	generation := e.receiver.loaded.Config.Generation // nobody polls any more
	stop = start(t, e)
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Delivery.MaxFileAgeSeconds = 60 })
	condition(t, trail, "Ready", "True Recording")
	eventually(t, func() string {
		return cmp.Diff([]string{"CreateTrail", "StartLogging", "UpdateTrail"}, e.receiver.recorded(string(trail.UID)))
	})
	stop()
	if got := e.receiver.loaded.Config.Generation; got <= generation || got > generation+3 {
		t.Errorf("configuration generation %d after %d", got, generation)
	}
	if l := e.receiver.trail(string(trail.UID)); l.MaxFileAgeSeconds != 60 {
		t.Errorf("rendered %+v", l)
	}
}

func TestCredentials(t *testing.T) {
	e := startEnv(t)
	ns := namespace(t, "credentials")
	trail := create(t, ns)
	condition(t, trail, "BucketReady", "False CredentialsNotReadable", "kind: Role", "kind: RoleBinding", "name: trail-operator-manager")
	condition(t, trail, "Reconciling", "True Retrying")

	// What the condition prints is what helps.
	message := conditionMessage(trail, "BucketReady")
	_, manifest, _ := strings.Cut(message, ":\n")
	for doc := range strings.SplitSeq(manifest, "---\n") {
		if err := admin.Create(t.Context(), parseDocument(t, doc)); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
	}
	touch(t, trail)
	condition(t, trail, "BucketReady", "False CredentialsNotFound", "There is no Secret bucket")
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bucket"}, StringData: map[string]string{v1alpha1.SecretAccessKeyID: "A"}}
	if err := admin.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	touch(t, trail)
	condition(t, trail, "BucketReady", "False CredentialsIncomplete", v1alpha1.SecretSecretAccessKey)
	s.StringData = map[string]string{v1alpha1.SecretSecretAccessKey: "planted-secret"}
	if err := admin.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	touch(t, trail)
	condition(t, trail, "Ready", "True Recording")

	// Other Secrets stay closed, and so does listing them.
	cfg, err := controlPlane.ClientConfig(managerUser, "system:serviceaccounts")
	if err != nil {
		t.Fatal(err)
	}
	manager, err := newClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
		t.Errorf("the manager lists Secrets: %v", err)
	}
	if err := manager.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "other"}, s); !apierrors.IsForbidden(err) {
		t.Errorf("the manager reads another Secret: %v", err)
	}
	// A running trail goes on with what is rendered when the Secret goes.
	if err := admin.Delete(t.Context(), s); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	_ = e
}

func TestEvents(t *testing.T) {
	startEnv(t)
	ns := tenant(t, "events")
	trail := create(t, ns)
	condition(t, trail, "Ready", "True Recording")
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			return err.Error()
		}
		for _, ev := range list.Items {
			if ev.Reason == "Recording" && ev.Type == corev1.EventTypeNormal && ev.Regarding.Name == "audit" {
				return ""
			}
		}
		return "an Event with the reason Recording"
	})
}

func conditionMessage(trail *v1alpha1.Trail, kind string) string {
	for _, c := range trail.Status.Conditions {
		if c.Type == kind {
			return c.Message
		}
	}
	return ""
}

func parseDocument(t *testing.T, doc string) client.Object {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(b))
}
