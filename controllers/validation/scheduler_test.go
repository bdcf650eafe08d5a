package validation

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/validation"
)

// TestLife follows a trail through validations: full at first, then from where
// the last one ended, full again after a week.
func TestLife(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	w.step(0)
	if w.shared != 3 {
		t.Errorf("%d objects were applied that all Jobs share", w.shared)
	}
	job := w.job()
	in := w.input(job)
	if in.Trail != "shop.audit" || in.Destination.SecretAccessKey != "planted-secret" || in.Destination.Retention.Mode != "" || len(in.Heads) != 1 ||
		!in.From.Equal(noon.AddDate(0, 0, -90)) || in.Layout.Prefix != "shop/audit" || len(in.Keys) != 1 {
		t.Errorf("the pod is given %+v", in)
	}
	if w.says("planted") {
		t.Error("a secret is in an object that is no Secret")
	}
	w.step(time.Minute)
	w.end(job, valid, 0, "Completed")
	w.step(time.Minute)
	if n := len(w.list()); n != 0 {
		t.Errorf("%d Jobs are left", n)
	}
	want := &v1alpha1.LastValidation{
		StartTime: stamp(noon), Time: stamp(noon.Add(time.Minute)), Result: v1alpha1.ValidationValid, Full: true, DurationSeconds: 60,
		From: stamp(noon.AddDate(0, 0, -1)), Until: stamp(noon), Digests: 24, LogFiles: 9, Expired: 2, Archived: 1,
	}
	got := w.get("shop").Status
	if d := cmp.Diff(want, got.LastValidation); d != "" {
		t.Error(d)
	}
	if v := got.Validated; v == nil || !v.FullTime.Equal(stamp(noon)) || v.Head.Sequence != 5 {
		t.Errorf("validated is %+v", v)
	}

	w.change("shop", func(tr *v1alpha1.Trail) { tr.Status.Head = headAt(noon.Add(16*time.Hour), 21) })
	w.step(16*time.Hour + 20*time.Minute) // 04:22
	if n := len(w.list()); n != 0 {
		t.Errorf("%d Jobs run before half past four", n)
	}
	w.step(20 * time.Minute) // 04:42
	job = w.job()
	in = w.input(job)
	if len(in.Heads) != 2 || in.Heads[0].Sequence != 21 || in.Heads[1].Sequence != 5 || !in.From.Equal(noon.Add(-time.Second)) {
		t.Errorf("going on, the pod is given %+v from %v", in.Heads, in.From)
	}
	w.end(job, valid, 0, "Completed")
	w.step(time.Minute)
	if v := w.get("shop").Status.Validated; v.Head.Sequence != 21 || !v.FullTime.Equal(stamp(noon)) {
		t.Errorf("validated is %+v", v)
	}

	w.step(7 * 24 * time.Hour)
	if in = w.input(w.job()); len(in.Heads) != 1 || !in.From.Equal(w.clock.Now().AddDate(0, 0, -90).Truncate(time.Hour)) {
		t.Errorf("after a week the pod is given %+v", in)
	}
}

// TestMissed: what came due many times while nobody led runs once.
func TestMissed(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	w.step(0)
	w.end(w.job(), valid, 0, "Completed")
	w.step(time.Minute)
	w.step(30 * 24 * time.Hour)
	w.end(w.job(), valid, 0, "Completed")
	for range 10 {
		w.step(time.Minute)
		if n := len(w.list()); n != 0 {
			t.Fatalf("%d Jobs run again", n)
		}
	}
}

// TestRestart: a manager that comes anew neither starts what runs again, nor
// loses what ended while it was away.
func TestRestart(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	w.step(0)
	job := w.job()
	w.started, w.ended, w.handled = nil, nil, nil
	w.step(time.Minute)
	w.end(w.job(), invalid, 0, "Completed")
	w.started, w.ended, w.handled = nil, nil, nil
	w.step(time.Minute)
	w.started, w.ended, w.handled = nil, nil, nil
	w.step(time.Minute)
	if w.jobs != 1 || w.job().UID != job.UID {
		t.Errorf("%d Jobs were made", w.jobs)
	}
	ids := map[string]bool{}
	for _, e := range w.events {
		ids[e.ID] = true
	}
	if got := w.get("shop").Status.LastValidation; got == nil || got.Result != v1alpha1.ValidationInvalid || len(ids) != 1 {
		t.Errorf("%+v, %v", got, ids)
	}
}

// TestConcurrency: a thousand trails that are due at once are validated a few at
// a time, never two of a namespace, and all of them in the end.
func TestConcurrency(t *testing.T) {
	const n = 60
	var trails []*v1alpha1.Trail
	for i := range n {
		tr := audit(fmt.Sprintf("ns-%d", i/3), fmt.Sprintf("u%d", i))
		tr.Name = fmt.Sprintf("audit-%d", i%3)
		trails = append(trails, tr)
	}
	w := newWorld(t, trails...)
	w.Config.Validation.Concurrency = 5
	seen := map[string]bool{}
	for range n {
		w.step(time.Second)
		list := w.list()
		if len(list) > 5 {
			t.Fatalf("%d run at once", len(list))
		}
		busy := map[string]bool{}
		for i := range list {
			name := list[i].Annotations["trail-operator.io/trail-name"]
			ns := name[:len(name)-len(".audit-0")]
			if busy[ns] {
				t.Fatalf("two of %s run at once", ns)
			}
			busy[ns] = true
			if seen[name] {
				t.Fatalf("%s is validated twice", name)
			}
			seen[name] = true
			w.end(&list[i], valid, 0, "Completed")
		}
		if len(seen) == n {
			return
		}
	}
	t.Errorf("%d of %d were validated", len(seen), n)
}

// TestSpread: trails with the same schedule do not begin at once.
func TestSpread(t *testing.T) {
	minutes := map[int]int{}
	last := noon.AddDate(0, 0, -1)
	for i := range 1000 {
		at := dueTime(audit("shop", fmt.Sprintf("uid-%d", i)), last)
		after := at.Sub(time.Date(2026, 11, 21, 4, 30, 0, 0, time.UTC))
		if after < 0 || after >= spread {
			t.Fatalf("due at %v", at)
		}
		minutes[int(after/time.Minute)]++
	}
	for m := range 10 {
		if minutes[m] < 50 {
			t.Errorf("%d begin in minute %d", minutes[m], m)
		}
	}
}

func TestDueTime(t *testing.T) {
	start := metav1.NewTime(noon)
	ended := func(result v1alpha1.ValidationResult, trigger string) func(*v1alpha1.Trail) {
		return func(t *v1alpha1.Trail) {
			t.Status.LastValidation = &v1alpha1.LastValidation{StartTime: &start, Result: result, Trigger: trigger}
		}
	}
	schedule := func(s string) func(*v1alpha1.Trail) {
		return func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Schedule = s }
	}
	annotated := func(v string) func(*v1alpha1.Trail) {
		return func(t *v1alpha1.Trail) { t.Annotations = map[string]string{v1alpha1.AnnotationValidateNow: v} }
	}
	off := offset("u")
	for name, tc := range map[string]struct {
		change []func(*v1alpha1.Trail)
		want   time.Duration // after noon; negative is never
	}{
		"daily":               {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, "")}, 16*time.Hour + 30*time.Minute + off},
		"each minute":         {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, ""), schedule("* * * * *")}, least + off},
		"failed":              {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationFailed, "")}, retry + off},
		"by hand":             {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, "1"), annotated("2")}, leastByHand},
		"by hand, done":       {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, "1"), annotated("1")}, 16*time.Hour + 30*time.Minute + off},
		"by hand alone":       {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, "1"), annotated("2"), schedule("")}, leastByHand},
		"by hand alone, done": {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, "1"), annotated("1"), schedule("")}, -1},
		"no schedule":         {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, ""), schedule("")}, -1},
		"invalid schedule":    {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, ""), schedule("x")}, -1},
		"no such day":         {[]func(*v1alpha1.Trail){ended(v1alpha1.ValidationValid, ""), schedule("0 0 30 2 *")}, -1},
		"suspended":           {[]func(*v1alpha1.Trail){func(t *v1alpha1.Trail) { t.Spec.Suspend = true }}, -1},
		"no digests":          {[]func(*v1alpha1.Trail){func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Mode = v1alpha1.ValidationDisabled }}, -1},
		"no digest yet":       {[]func(*v1alpha1.Trail){func(t *v1alpha1.Trail) { t.Status.Head = nil }}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			tr := audit("shop", "u", tc.change...)
			last := time.Time{}
			if tr.Status.LastValidation != nil {
				last = noon
			}
			at := dueTime(tr, last)
			if tc.want < 0 && !at.IsZero() || tc.want >= 0 && !at.Equal(noon.Add(tc.want)) {
				t.Errorf("due at %v, want %v after noon", at, tc.want)
			}
		})
	}
}

// TestOutcomes: whatever becomes of a Job, the status says so.
func TestOutcomes(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, "x", nil)
	for name, tc := range map[string]struct {
		do   func(*world)
		want validation.Cause
	}{
		"the pod says":       {func(w *world) { w.end(w.job(), failed, 2, "Error") }, validation.CauseAccessDenied},
		"no message":         {func(w *world) { w.end(w.job(), "", 1, "Error") }, validation.CauseReport},
		"valid, but crashed": {func(w *world) { w.end(w.job(), valid, 1, "Error") }, validation.CauseReport},
		"hostile":            {func(w *world) { w.end(w.job(), `{"version":1,"valid":true,"planted":"x"}`, 0, "Completed") }, validation.CauseReport},
		"out of memory":      {func(w *world) { w.end(w.job(), "", 137, "OOMKilled") }, validation.CauseMemory},
		"too late":           {func(w *world) { w.finish(w.job(), batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded) }, validation.CauseDeadline},
		"no pod":             {func(w *world) { w.finish(w.job(), batchv1.JobFailed, "x") }, validation.CauseGone},
		"never started":      {func(w *world) { w.step(patience) }, validation.CauseNotStarted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, audit("shop", "u1"))
			w.step(0)
			tc.do(w)
			w.step(time.Minute)
			v := w.get("shop").Status.LastValidation
			if v == nil || v.Result != v1alpha1.ValidationFailed || v.Cause != string(tc.want) || len(w.events) > 0 {
				t.Errorf("%+v, want %s; recorded %v", v, tc.want, w.events)
			}
			w.step(2 * time.Minute)
			if w.jobs != 1 {
				t.Errorf("it was tried again at once")
			}
			w.step(retry + spread)
			w.step(time.Minute) // the last Job goes before the next comes
			if w.jobs != 2 {
				t.Errorf("it was not tried again after an hour: %d", w.jobs)
			}
		})
	}
	for name, tc := range map[string]struct {
		do   func(*world)
		want validation.Cause
	}{
		"refused":    {func(w *world) { w.refuse = forbidden }, validation.CauseForbidden},
		"no image":   {func(w *world) { w.Config.Validation.Image = "" }, validation.CauseNoImage},
		"no Secret":  {func(w *world) { w.change("shop", reader) }, validation.CauseCredentials},
		"empty keys": {func(w *world) { w.change("shop", reader); w.secret(map[string]string{}) }, validation.CauseCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, audit("shop", "u1"))
			tc.do(w)
			w.step(0)
			if v := w.get("shop").Status.LastValidation; v == nil || v.Cause != string(tc.want) {
				t.Errorf("%+v, want %s", v, tc.want)
			}
		})
	}
}

func reader(t *v1alpha1.Trail) {
	t.Spec.LogFileValidation.CredentialsSecretRef = &v1alpha1.CredentialsSecretRef{Name: "reader"}
}

func (w *world) secret(values map[string]string) {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "reader"}, Data: map[string][]byte{}}
	for k, v := range values {
		s.Data[k] = []byte(v)
	}
	if err := w.Client.Create(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

// TestReader: credentials that may only read take the place of the trail's own.
func TestReader(t *testing.T) {
	w := newWorld(t, audit("shop", "u1", reader))
	w.secret(map[string]string{v1alpha1.SecretAccessKeyID: "r", v1alpha1.SecretSecretAccessKey: "planted-reader\n"})
	w.step(0)
	d := w.input(w.job()).Destination
	if d.AccessKeyID != "r" || d.SecretAccessKey != "planted-reader" || d.SessionToken != "" || d.Ambient {
		t.Errorf("the pod reads with %+v", d)
	}
	if w.says("planted") {
		t.Error("a secret is in an object that is no Secret")
	}
}

// TestInvalid: it is recorded, once per validation, however long the receiver is
// away; a failure afterwards does not hide it; a valid one ends it.
func TestInvalid(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	w.step(0)
	w.end(w.job(), invalid, 0, "Completed")
	w.away = true
	w.step(time.Minute)
	w.step(time.Minute)
	if v := w.get("shop").Status; v.LastValidation.Result != v1alpha1.ValidationInvalid || v.LastValidation.Invalid != 3 || v.Validated != nil || len(w.events) > 0 {
		t.Errorf("%+v", v)
	}
	w.away = false
	w.step(time.Minute)
	w.step(time.Minute)
	if len(w.events) != 1 || w.events[0].Trails[0] != "u1" || w.events[0].ID != fmt.Sprintf("u1/ValidationFailed/%d", noon.Unix()) {
		t.Errorf("recorded %+v", w.events)
	}
	w.step(17 * time.Hour)
	w.step(time.Minute)
	w.end(w.job(), failed, 2, "Error")
	w.step(time.Minute)
	if v := w.get("shop").Status.LastValidation; v.Result != v1alpha1.ValidationFailed || len(v.Findings) != 1 || v.LogFiles != 9 {
		t.Errorf("%+v", v)
	}
	w.step(2 * time.Hour)
	w.step(time.Minute)
	w.end(w.job(), valid, 0, "Completed")
	w.step(time.Minute)
	if v := w.get("shop").Status.LastValidation; v.Result != v1alpha1.ValidationValid || len(v.Findings) != 0 || v.Invalid != 0 || v.Cause != "" {
		t.Errorf("%+v", v)
	}
}

// TestJobsGo: with the trail, its schedule, or what decides how it is validated.
func TestJobsGo(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Trail){
		"suspended":   func(t *v1alpha1.Trail) { t.Spec.Suspend = true },
		"no schedule": func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Schedule = "" },
		"disabled":    func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Mode = v1alpha1.ValidationDisabled },
	} {
		w := newWorld(t, audit("shop", "u1"))
		w.step(0)
		w.job()
		w.change("shop", change)
		w.step(time.Minute)
		w.step(time.Minute)
		if n := len(w.list()); n != 0 {
			t.Errorf("%s: %d Jobs are left", name, n)
		}
	}
	w := newWorld(t, audit("shop", "u1"))
	w.step(0)
	first := w.job().UID
	w.change("shop", func(t *v1alpha1.Trail) { t.Spec.Destination.Region = "eu-2" })
	w.step(time.Minute)
	w.step(time.Minute)
	if w.job().UID == first {
		t.Error("the Job goes on in the old region")
	}
	if err := w.Client.Delete(t.Context(), w.get("shop")); err != nil {
		t.Fatal(err)
	}
	w.step(2 * time.Minute)
	if n := len(w.list()); n != 0 {
		t.Errorf("without the trail, %d Jobs are left", n)
	}
}
