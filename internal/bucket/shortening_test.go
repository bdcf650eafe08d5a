package bucket

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

func TestSettle(t *testing.T) {
	was := &v1alpha1.BucketStatus{
		ExpireAfterDays: 365, DigestExpireAfterDays: 800, NoncurrentExpireAfterDays: 9,
		ObjectLockDays: 7, ObjectLockMode: v1alpha1.LockCompliance,
	}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.Destination)
		was    *v1alpha1.BucketStatus
		needs  string
	}{
		"nothing":            {func(*v1alpha1.Destination) {}, was, ""},
		"the first time":     {func(d *v1alpha1.Destination) { d.Lifecycle.ExpireAfterDays = 1 }, nil, ""},
		"longer":             {func(d *v1alpha1.Destination) { d.Lifecycle.ExpireAfterDays = 366 }, was, ""},
		"kept for ever":      {func(d *v1alpha1.Destination) { d.Lifecycle = nil }, was, ""},
		"log files":          {func(d *v1alpha1.Destination) { d.Lifecycle.ExpireAfterDays = 30 }, was, "expireAfterDays=30"},
		"digests":            {func(d *v1alpha1.Destination) { d.Lifecycle.DigestExpireAfterDays = 799 }, was, "digestExpireAfterDays=799"},
		"old versions":       {func(d *v1alpha1.Destination) { d.Lifecycle.NoncurrentExpireAfterDays = 8 }, was, "noncurrentExpireAfterDays=8"},
		"newly set":          {func(*v1alpha1.Destination) {}, &v1alpha1.BucketStatus{}, "expireAfterDays=365,digestExpireAfterDays=800,noncurrentExpireAfterDays=9"},
		"lock":               {func(d *v1alpha1.Destination) { d.ObjectLock.Days = 6 }, was, "objectLockDays=6"},
		"no lock":            {func(d *v1alpha1.Destination) { d.ObjectLock = nil }, was, "objectLockDays=0"},
		"governance":         {func(d *v1alpha1.Destination) { d.ObjectLock.Mode = v1alpha1.LockGovernance }, was, "objectLockMode=Governance"},
		"lock and log files": {func(d *v1alpha1.Destination) { d.ObjectLock.Days, d.Lifecycle.ExpireAfterDays = 1, 2 }, was, "objectLockDays=1,expireAfterDays=2"},
		"observed": {func(d *v1alpha1.Destination) {
			d.ManagementPolicy = v1alpha1.PolicyObserve
			d.Lifecycle.ExpireAfterDays = 1
		}, was, ""},
		"observed, and lock": {func(d *v1alpha1.Destination) { d.ManagementPolicy = v1alpha1.PolicyObserve; d.ObjectLock.Days = 1 }, was, "objectLockDays=1"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := everything()
			asked.ObjectLock.Mode = v1alpha1.LockCompliance
			tc.change(&asked)
			settled, s := Settle(asked, tc.was, "unrelated=1, expireAfterDays=29")
			if tc.needs == "" {
				if s != nil || cmp.Diff(asked, settled) != "" {
					t.Errorf("%+v: %s", s, cmp.Diff(asked, settled))
				}
				return
			}
			if s == nil || s.Allowed || s.Annotation != tc.needs || s.Says == "" {
				t.Fatalf("got %+v, want %s", s, tc.needs)
			}
			if again, s := Settle(settled, tc.was, ""); s != nil {
				t.Errorf("what is put in force still shortens: %+v, %+v", s, again)
			}
			settled, s = Settle(asked, tc.was, " "+strings.ReplaceAll(tc.needs, ",", " , "))
			if !s.Allowed || cmp.Diff(asked, settled) != "" {
				t.Errorf("with the annotation: %+v", s)
			}
			// What was applied needs no annotation any more.
			if _, s := Settle(asked, Status(asked, tc.was, Outcome{}), ""); s != nil {
				t.Errorf("applied, it still shortens: %+v", s)
			}
		})
	}
}

// TestSettleNeverShortens: without the annotation nothing that is put in force
// lives shorter than before, and with it the spec is.
func TestSettleNeverShortens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() v1alpha1.Destination {
			l := lifecycle(t)
			d := v1alpha1.Destination{Lifecycle: &l}
			if days := rapid.Int32Range(0, 100).Draw(t, "lock"); days > 0 {
				d.ObjectLock = &v1alpha1.ObjectLock{Days: days, Mode: rapid.SampledFrom([]v1alpha1.LockMode{v1alpha1.LockCompliance, v1alpha1.LockGovernance}).Draw(t, "mode")}
			}
			return d
		}
		was, asked := Status(draw(), nil, Outcome{}), draw()
		settled, s := Settle(asked, was, "")
		if _, again := Settle(settled, was, ""); again != nil {
			t.Errorf("it shortens: %+v", again)
		}
		if s == nil {
			return
		}
		if settled, s = Settle(asked, was, s.Annotation); !s.Allowed || cmp.Diff(asked, settled) != "" {
			t.Errorf("allowed: %+v", s)
		}
	})
}

func TestStatusIsBounded(t *testing.T) {
	var out Outcome
	for range 50 {
		out.Drift = append(out.Drift, strings.Repeat("ä", 2000))
	}
	s := Status(v1alpha1.Destination{}, nil, out)
	if len(s.Drift) != 20 || len(s.Drift[0]) > 1024 {
		t.Errorf("%d sentences of %d bytes", len(s.Drift), len(s.Drift[0]))
	}
}
