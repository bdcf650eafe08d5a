package integration

import (
	"context"
	"strconv"
	"testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// touch makes a new generation, so that nobody has to wait for the next look.
func touch(t *testing.T, trail *v1alpha1.Trail) {
	t.Helper()
	update(t, trail, func(t *v1alpha1.Trail) {
		t.Spec.Destination.Region = "r" + strconv.FormatInt(t.Generation, 10)
	})
}

func isUID(uid string) func(receiverconfig.Trail) bool {
	return func(t receiverconfig.Trail) bool { return t.UID == uid }
}

func TestBucketProblems(t *testing.T) {
	e := startEnv(t)
	for _, tc := range []struct {
		name   string
		err    error
		reason string
		says   string
	}{
		{"missing", objectstore.ErrNoBucket, "BucketNotFound", "does not exist and could not be created"},
		{"denied", objectstore.ErrAccessDenied, "AccessDenied", "Allow s3:ListBucket"},
		{"wrong-secret", objectstore.ErrBadCredentials, "InvalidCredentials", "Correct AWS_ACCESS_KEY_ID"},
		{"certificate", objectstore.ErrCertificate, "CertificateNotTrusted", "spec.destination.ca"},
		{"unreachable", objectstore.ErrUnreachable, "EndpointUnreachable", "does not answer"},
		{"address", objectstore.ErrForbiddenAddress, "AddressNotAllowed", "allowedAddresses"},
		{"skew", objectstore.ErrClockSkew, "ClockSkew", "clock"},
		{"throttled", objectstore.ErrThrottled, "Throttled", "slow down"},
		{"odd", &objectstore.Error{Op: objectstore.OpPut, Code: "Teapot", Err: context.DeadlineExceeded}, "DeliveryFailed", "S3 error code Teapot"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ns := tenant(t, "bucket-"+tc.name)
			refuse := func(err error) {
				e.bucket(ns).SetHook(func(context.Context, objectstore.Op, string) memory.Fault { return memory.Fault{Refuse: err} })
			}
			refuse(tc.err)
			trail := create(t, ns)
			condition(t, trail, "BucketReady", "False "+tc.reason, tc.says)
			condition(t, trail, "Ready", "False "+tc.reason, tc.says)
			condition(t, trail, "Receiving", "Unknown Pending")
			condition(t, trail, "Reconciling", "True Retrying")
			if e.receiver.trail(string(trail.UID)) != nil {
				t.Error("it was rendered before its prefix was claimed")
			}
			e.bucket(ns).SetHook(nil)
			touch(t, trail)
			condition(t, trail, "Ready", "True Recording")

			// Once it records, a failing bucket does not stop it, and it can
			// still be suspended.
			refuse(tc.err)
			touch(t, trail)
			condition(t, trail, "BucketReady", "False "+tc.reason, tc.says)
			condition(t, trail, "Receiving", "True ConfigurationInForce")
			update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Suspend = true })
			condition(t, trail, "Receiving", "False Suspended")
		})
	}
}

func TestConflict(t *testing.T) {
	e := startEnv(t)
	first, second := tenant(t, "first"), tenant(t, "second")
	place := func(t *v1alpha1.Trail) { t.Spec.Destination.Bucket, t.Spec.Destination.Prefix = "shared", "logs" }
	one := create(t, first, place)
	condition(t, one, "Ready", "True Recording")
	two := create(t, second, place)
	condition(t, two, "BucketReady", "False Conflict", "belongs to another trail")
	condition(t, two, "Stalled", "True Conflict")
	absent(t, two, "Reconciling")
	if e.receiver.trail(string(two.UID)) != nil {
		t.Error("the second trail was rendered")
	}
	touch(t, one)
	condition(t, one, "Ready", "True Recording")
	if err := admin.Delete(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	gone(t, two) // it never recorded, so nothing is waited for
}

func TestRecreatedTrailGoesOn(t *testing.T) {
	e := startEnv(t)
	ns := tenant(t, "again")
	trail := create(t, ns)
	uid := string(trail.UID)
	condition(t, trail, "Ready", "True Recording")
	e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
	if err := admin.Delete(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	gone(t, trail)
	condition(t, create(t, ns), "Ready", "True Recording")
}

func TestPublishedKeyWasChanged(t *testing.T) {
	e := startEnv(t)
	trail := create(t, tenant(t, "changed-key"))
	condition(t, trail, "Ready", "True Recording")
	for key := range e.bucket("changed-key").Objects() {
		if key != "changed-key/audit/AWSLogs/000000000042/trail-owner.json" {
			e.bucket("changed-key").Overwrite(key, []byte("forged"))
		}
	}
	touch(t, trail)
	condition(t, trail, "BucketReady", "False Conflict", "is not the public key that it should be")
}

func TestAllowedAddresses(t *testing.T) {
	e := startEnv(t)
	for endpoint, want := range map[string]bool{"http://127.0.0.1:7070": true, "http://127.0.0.1:7071": false} {
		ns := tenant(t, "allowed-"+endpoint[len(endpoint)-4:])
		trail := create(t, ns, func(t *v1alpha1.Trail) { t.Spec.Destination.Endpoint = endpoint })
		condition(t, trail, "Ready", "True Recording")
		if got := e.receiver.trail(string(trail.UID)).Destination.AllowPrivate; got != want {
			t.Errorf("%s: rendered AllowPrivate %v, want %v", endpoint, got, want)
		}
		e.mu.Lock()
		for _, c := range e.opened {
			if c.Endpoint == endpoint && (c.AllowPrivate != want || len(c.DenyHosts) == 0) {
				t.Errorf("%s: opened with %+v", endpoint, c)
			}
		}
		e.mu.Unlock()
	}
}

func TestReceiverConditions(t *testing.T) {
	e := startEnv(t)
	trail := create(t, tenant(t, "receiver"))
	condition(t, trail, "Ready", "True Recording")
	for _, tc := range []struct {
		change func(*receiverstatus.Status)
		want   string
		says   string
	}{
		{func(s *receiverstatus.Status) { s.Intake.Received = 0 }, "False NoAPIServer", "kubectl trail webhook-config"},
		{func(s *receiverstatus.Status) { s.Spool.Full = true }, "False SpoolFull", "Enlarge the volume"},
		{func(s *receiverstatus.Status) { s.Trails, s.ConfigError = nil, "it lists too much" }, "False ConfigurationRefused", "The log of the manager says why"},
		{func(s *receiverstatus.Status) { s.Trails = nil }, "Unknown ConfigurationSent", "not loaded"},
	} {
		e.receiver.do(func(r *receiver) { r.change = tc.change })
		condition(t, trail, "Receiving", tc.want, tc.says)
		condition(t, trail, "Ready", tc.want, tc.says)
	}
	e.receiver.do(func(r *receiver) { r.change = func(*receiverstatus.Status) {} })
	condition(t, trail, "Ready", "True Recording")
}
