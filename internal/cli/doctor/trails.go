package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
)

const (
	linkPolicy = "policy"
	linkTrails = "trails"

	// settling is how long a change may take before it is worth a line.
	settling = 5 * time.Minute
	// pageSize bounds what is in memory at once; maxTrails what is looked at.
	pageSize  = 500
	maxTrails = 50_000
	// maxLines bounds the lines about trails that people are shown.
	maxLines = 20
)

// census counts trails, and gathers what is wrong with them.
type census struct {
	seen, suspended, deleting, settling int
	narrow                              []string // trails for which the audit policy is too small
	lesser                              string   // what a trail says that takes what comes, and does not get all
	recording                           int
	findings                            []Finding
}

// examineTrails: what each trail says of its bucket, delivery and digests.
func (d *doctor) examineTrails(ctx context.Context) []Finding {
	c := &census{}
	var hidden []Finding
	err := d.pages(ctx, func() client.ObjectList { return &v1alpha1.OrganizationTrailList{} }, func(list client.ObjectList) {
		items := list.(*v1alpha1.OrganizationTrailList).Items
		for i := range items {
			d.count(c, items[i].AsTrail())
		}
	})
	if err != nil {
		hidden = append(hidden, d.unread(err, linkTrails, "", kube.OrganizationTrailResource, ""))
	}
	count := func(list client.ObjectList) {
		items := list.(*v1alpha1.TrailList).Items
		for i := range items {
			d.count(c, &items[i])
		}
	}
	trails := func() client.ObjectList { return &v1alpha1.TrailList{} }
	err = d.pages(ctx, trails, count)
	if apierrors.IsForbidden(err) { // who looks after one namespace may look at that
		f := d.unread(err, linkTrails, "", kube.TrailResource, "")
		f.Message += " in all namespaces"
		if err = d.pages(ctx, trails, count, client.InNamespace(d.chosen)); err == nil {
			f.Message += fmt.Sprintf("; only those in namespace %q were looked at", d.chosen)
		}
		hidden = append(hidden, f)
	} else if err != nil {
		hidden = append(hidden, d.unread(err, linkTrails, "", kube.TrailResource, ""))
	}
	// The worst first: people are shown some only.
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return strings.Compare(string(a.State), string(b.State)) })
	findings := append(d.policy(c), c.findings...)
	if c.seen > 0 || len(hidden) == 0 {
		findings = append(findings, c.summary())
	}
	return append(findings, hidden...)
}

// pages lists in pages.
func (d *doctor) pages(ctx context.Context, empty func() client.ObjectList, do func(client.ObjectList), opts ...client.ListOption) error {
	next := ""
	for range maxTrails / pageSize {
		list := empty()
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		err := d.client.List(ctx, list, append([]client.ListOption{client.Limit(pageSize), client.Continue(next)}, opts...)...)
		cancel()
		if err != nil {
			return err
		}
		do(list)
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
	return nil
}

// policy: API servers record what trails select.
func (d *doctor) policy(c *census) []Finding {
	if n := len(c.narrow); n > 0 {
		const some = 5
		names := strings.Join(c.narrow[:min(n, some)], ", ")
		if n > some {
			names += fmt.Sprintf(" and %d more", n-some)
		}
		return []Finding{{
			State: Problem, Link: linkPolicy, Message: "API servers do not record what is selected by " + names,
			Next: "put the standard policy in place, which serves every trail: `kubectl trail audit-policy`; their lines below say what is missing",
		}}
	}
	if c.lesser != "" {
		return []Finding{{
			State: Warning, Link: linkPolicy, Message: c.lesser,
			Next: "nothing, if you left these calls out on purpose; else put the standard policy in place: `kubectl trail audit-policy`",
		}}
	}
	if c.recording == 0 {
		return []Finding{{State: Unchecked, Link: linkPolicy, Message: "no trail records that could miss anything"}}
	}
	return []Finding{{State: OK, Link: linkPolicy, Message: "no trail misses what it selects"}}
}

// count looks at one trail.
func (d *doctor) count(c *census, t *v1alpha1.Trail) {
	c.seen++
	old := d.now.Sub(t.CreationTimestamp.Time) > settling
	if !t.DeletionTimestamp.IsZero() {
		c.deleting++
		if d.now.Sub(t.DeletionTimestamp.Time) > 3*settling { // the finalizer waits for 10 minutes
			d.trail(c, Warning, t, "it has been going for "+age(d.now.Sub(t.DeletionTimestamp.Time)))
		}
		return
	}
	if len(t.Status.Conditions) == 0 {
		if old {
			d.trail(c, Problem, t, "the manager has not looked at it")
		} else {
			c.settling++
		}
		return
	}
	if t.Spec.Suspend {
		c.suspended++
	}
	// It records all the same, and speaks of it until somebody acknowledges.
	if lost := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionNoLoss); lost != nil && lost.Status == metav1.ConditionFalse {
		d.trail(c, Warning, t, fmt.Sprintf("%s is %s (%s): %s", lost.Type, lost.Status, lost.Reason, strings.ReplaceAll(lost.Message, "\n", " ")))
	}
	d.validated(c, t)
	bad := d.conditions(t)
	if len(bad) == 0 {
		receiving := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionReceiving)
		if receiving != nil && receiving.Status == metav1.ConditionTrue {
			c.recording++
			if at := strings.Index(receiving.Message, "The API server"); at >= 0 { // see Receiving in docs/kinds/trail.md
				c.lesser = receiving.Message[at:]
			}
		}
		return
	}
	for _, one := range bad {
		if one.Reason == v1alpha1.ReasonPolicyTooSmall {
			c.narrow = append(c.narrow, title(t))
		}
		state := Problem
		if one.Status == metav1.ConditionUnknown {
			if d.now.Sub(one.LastTransitionTime.Time) < settling {
				c.settling++
				continue
			}
			state = Warning
		}
		message, _, _ := strings.Cut(one.Message, "\n")
		d.trail(c, state, t, fmt.Sprintf("%s is %s (%s): %s", one.Type, one.Status, one.Reason, message))
	}
}

// validated looks at what the validation in the cluster has found. The trail
// records all the same.
func (d *doctor) validated(c *census, t *v1alpha1.Trail) {
	v := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionValidated)
	if v == nil {
		return
	}
	state := Warning
	switch {
	case v.Status == metav1.ConditionFalse:
		state = Problem
	case v.Reason != v1alpha1.ReasonValidationFailed && v.Reason != v1alpha1.ReasonInvalidSchedule:
		return
	}
	d.trail(c, state, t, fmt.Sprintf("%s is %s (%s): %s", v.Type, v.Status, v.Reason, strings.ReplaceAll(v.Message, "\n", " ")))
}

func (d *doctor) trail(c *census, state State, t *v1alpha1.Trail, message string) {
	c.findings = append(c.findings, Finding{
		State: state, Link: linkTrails, Subject: title(t), Message: message, Next: "kubectl trail status " + kube.CommandLine(t),
	})
}

func title(t *v1alpha1.Trail) string {
	if t.IsOrganizationTrail() {
		return kube.Argument(t)
	}
	return t.Namespace + "/" + t.Name
}

// conditions are those that are not as they should be. Ready repeats what is
// wrong with another one, which says more.
func (d *doctor) conditions(t *v1alpha1.Trail) []metav1.Condition {
	var bad []metav1.Condition
	for _, name := range []string{
		v1alpha1.ConditionBucketReady, v1alpha1.ConditionReceiving, v1alpha1.ConditionDelivering,
		v1alpha1.ConditionDigestsCurrent, v1alpha1.ConditionReady,
	} {
		c := meta.FindStatusCondition(t.Status.Conditions, name)
		if c == nil || c.Status == metav1.ConditionTrue || slices.Contains(expected, c.Reason) {
			continue
		}
		if slices.ContainsFunc(bad, func(b metav1.Condition) bool { return b.Reason == c.Reason && b.Message == c.Message }) {
			continue
		}
		bad = append(bad, *c)
	}
	return bad
}

// expected are reasons of conditions that are not True and need not be.
var expected = []string{
	v1alpha1.ReasonSuspended, v1alpha1.ReasonSuspending, v1alpha1.ReasonValidationDisabled,
	v1alpha1.ReasonNothingToDeliver, v1alpha1.ReasonFirstDigestPending, v1alpha1.ReasonDeleting,
	v1alpha1.ReasonPending, // the earlier step has a line of its own
}

func (c *census) summary() Finding {
	f := Finding{State: OK, Link: linkTrails}
	if c.seen == 0 {
		f.State, f.Message = Warning, "there is no trail, so nothing is delivered"
		f.Next = "apply one: see docs/kinds/trail.md"
		return f
	}
	with := map[string]bool{}
	for i := range c.findings {
		with[c.findings[i].Subject] = true
	}
	parts := []string{}
	for _, p := range []struct {
		n    int
		what string
	}{{c.suspended, "suspended"}, {c.deleting, "going"}, {c.settling, "settling"}, {len(with), "not well"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	f.Message = plural(c.seen, "trail")
	if len(parts) > 0 {
		f.Message += ", of which " + strings.Join(parts, ", ")
	}
	return f
}

// shorten leaves out lines about trails that people will not read.
func shorten(findings []Finding) []Finding {
	lines := 0
	var short, left []Finding
	for _, f := range findings {
		if f.Link == linkTrails && f.Subject != "" {
			if lines++; lines > maxLines {
				left = append(left, f)
				continue
			}
		} else if len(left) > 0 {
			more := Finding{State: left[0].State, Link: linkTrails, Message: fmt.Sprintf("and %d more lines like these", len(left)), Next: "kubectl trail status -A"}
			short, left = append(short, more), nil
		}
		short = append(short, f)
	}
	return short
}
