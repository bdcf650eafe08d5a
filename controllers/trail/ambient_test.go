package trail

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/status"
)

// TestTenantsKeepToTheirMapping: the operator's identity neither locks objects
// in the installer's bucket nor uses a key because a tenant wants it.
func TestTenantsKeepToTheirMapping(t *testing.T) {
	lock := func(days int32) v1alpha1.Destination {
		return v1alpha1.Destination{ObjectLock: &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: days}}
	}
	key := func(id string) v1alpha1.Destination {
		return v1alpha1.Destination{Encryption: &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: id}}
	}
	for name, tc := range map[string]struct {
		asked   v1alpha1.Destination
		mapping managerconfig.TenantDestination
		says    string
	}{
		"nothing":              {v1alpha1.Destination{}, managerconfig.TenantDestination{}, ""},
		"lock":                 {lock(1), managerconfig.TenantDestination{}, "may not lock objects there. Remove it."},
		"lock within":          {lock(30), managerconfig.TenantDestination{MaxObjectLockDays: 30}, ""},
		"lock beyond":          {lock(31), managerconfig.TenantDestination{MaxObjectLockDays: 30}, "may lock objects there for 30 days."},
		"default key":          {key(""), managerconfig.TenantDestination{}, ""},
		"a key":                {key("alias/payroll"), managerconfig.TenantDestination{}, "may not name this key."},
		"the key":              {key("alias/audit"), managerconfig.TenantDestination{KMSKeyID: "alias/audit"}, ""},
		"another key":          {key("alias/payroll"), managerconfig.TenantDestination{KMSKeyID: "alias/audit"}, "may not name this key."},
		"a CA, so no identity": {v1alpha1.Destination{CA: "x", ObjectLock: lock(1).ObjectLock}, managerconfig.TenantDestination{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t)
			w.Client = &listing{}
			w.Installation.Publisher = installation.NewPublisher(w.Client, "system")
			m := tc.mapping
			m.Namespace, m.Region, m.Bucket, m.Prefix = "shop", "us-east-1", "logs", "shop"
			w.Config.TenantDestinations = []managerconfig.TenantDestination{m}
			tc.asked.Bucket, tc.asked.Prefix = "logs", "shop/x"
			w.trail.Spec.Destination = tc.asked
			err := w.newScope(w.trail).keepToMapping()
			var p *status.Problem
			switch {
			case tc.says == "" && err != nil:
				t.Error(err)
			case tc.says != "" && (!errors.As(err, &p) || p.Reason != v1alpha1.ReasonInvalidSpec || !p.Stalled || !strings.Contains(p.Message, tc.says)):
				t.Errorf("got %v, want %q", err, tc.says)
			case tc.says != "" && w.newScope(w.trail).mayBeAmbient():
				t.Error("it keeps the operator's identity")
			}
			if err := w.newScope(w.trail).validate(t.Context()); tc.says != "" && !errors.As(err, &p) {
				t.Errorf("the steps go on: %v", err)
			}
		})
	}
}

// TestMappingThatAllowsLess: what the installer allows no more ends without the
// tenant's consent.
func TestMappingThatAllowsLess(t *testing.T) {
	w := newWorkshop(t)
	if err := w.store.CreateLockedBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Config.TenantDestinations = []managerconfig.TenantDestination{{Namespace: "shop", Region: "us-east-1", Bucket: "logs", Prefix: "shop", MaxObjectLockDays: 30}}
	w.trail.Spec.Destination = v1alpha1.Destination{Bucket: "logs", Prefix: "shop/x", ObjectLock: &v1alpha1.ObjectLock{Mode: v1alpha1.LockGovernance, Days: 30}}
	ambient := func(s *scope) { s.credentials = &manifests.Credentials{Ambient: true} }
	if s := w.reconcile(t, ambient); s.seen.Problem != nil {
		t.Fatalf("%+v", s.seen.Problem)
	}
	w.Config.TenantDestinations[0].MaxObjectLockDays = 2
	w.update(func(d *v1alpha1.Destination) { d.ObjectLock.Days = 2 })
	if s := w.reconcile(t, ambient); s.seen.Problem != nil || s.settled().Spec.Destination.ObjectLock.Days != 2 {
		t.Errorf("%+v, lock %+v", s.seen.Problem, s.settled().Spec.Destination.ObjectLock)
	}
	if slices.ContainsFunc([]objectstore.Op{objectstore.OpSetObjectLock, objectstore.OpSetLifecycle}, func(op objectstore.Op) bool { return w.store.Calls(op) > 0 }) {
		t.Error("the installer's bucket was changed")
	}
}
