package validator

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// world is a bucket with a day of digests, and what the manager would say of it.
type world struct {
	store *memory.Store
	trail *verifytest.Trail
	clock *clocktesting.FakePassiveClock
	input validation.Input
	heads []record.Head // after each digest
}

func newWorld(t *testing.T, rules ...record.LifecycleRule) *world {
	t.Helper()
	w := &world{clock: clocktesting.NewFakePassiveClock(start)}
	w.store = memory.New(w.clock)
	w.trail = verifytest.New(t, w.store, "audit", start)
	w.trail.Lifecycle = rules
	w.trail.Tick = w.clock.SetTime
	for range 24 {
		w.trail.Hours(t, 1, 3)
		w.heads = append(w.heads, w.trail.Last.Head)
	}
	w.input = validation.Input{
		Version: validation.Version, Trail: w.trail.Name, Layout: w.trail.Layout,
		Destination: receiverconfig.Destination{Bucket: "audit", AccessKeyID: "planted-key", SecretAccessKey: "planted-secret"},
		Keys:        w.trail.Keys, Heads: []record.Head{w.trail.Last.Head},
	}
	return w
}

// run returns the report as the manager reads it.
func (w *world) run(t *testing.T) (validation.Report, string, error) {
	t.Helper()
	return runOn(t, w.store, w.clock, record.MustJSON(w.input))
}

func runOn(t *testing.T, store objectstore.Store, clk *clocktesting.FakePassiveClock, input []byte) (validation.Report, string, error) {
	t.Helper()
	dir := t.TempDir()
	var out strings.Builder
	o := Options{
		Input: filepath.Join(dir, validation.FileInput), Message: filepath.Join(dir, "message"), Clock: clk, Out: &out,
		Open: func(objectstore.Config) (objectstore.Store, error) { return store, nil },
	}
	if err := os.WriteFile(o.Input, input, 0o600); err != nil {
		t.Fatal(err)
	}
	runErr := Run(t.Context(), o)
	raw, err := os.ReadFile(o.Message)
	if err != nil {
		t.Fatal(err)
	}
	r, err := validation.ParseReport(raw)
	if err != nil {
		t.Fatalf("the manager refuses %s: %v", raw, err)
	}
	for _, text := range []string{string(raw), out.String()} {
		if strings.Contains(text, "planted") {
			t.Errorf("a secret is in %s", text)
		}
	}
	return r, out.String(), runErr
}

func TestValid(t *testing.T) {
	w := newWorld(t)
	r, out, err := w.run(t)
	if err != nil || !r.Valid || r.Digests != (validation.Count{Total: 24, Valid: 24}) || r.LogFiles != (validation.Count{Total: 72, Valid: 72}) {
		t.Errorf("%+v, %v", r, err)
	}
	if !r.From.Equal(start) || !r.Until.Equal(start.Add(24*time.Hour)) || !strings.Contains(out, "72 of 72 log files") {
		t.Errorf("%+v\n%s", r, out)
	}
}

// TestGoingOn: a validation that goes on where the last one ended demands that
// digest as it was, and reads nothing older.
func TestGoingOn(t *testing.T) {
	w := newWorld(t)
	last := w.heads[19]
	w.input.Heads = append(w.input.Heads, last)
	w.input.From = start.Add(20*time.Hour - time.Second)
	r, _, err := w.run(t)
	if err != nil || !r.Valid || r.Digests.Valid != 5 || r.LogFiles.Valid != 15 {
		t.Errorf("%+v, %v", r, err)
	}
	// Whoever holds the signing key has written everything anew.
	w.input.Heads[1].HashValue = strings.Repeat("0", 64)
	if r, _, err = w.run(t); err != nil || len(r.Findings) != 1 || r.Findings[0].Kind != string(verify.HeadMismatch) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTampering(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*world)
		want verify.Kind
	}{
		"changed":            {func(w *world) { w.store.Overwrite(w.trail.Files[40], verifytest.Gzip(t, []byte("x"))) }, verify.LogFileInvalid},
		"deleted":            {func(w *world) { w.store.Delete(w.trail.Files[40]) }, verify.LogFileMissing},
		"no gzip":            {func(w *world) { w.store.Overwrite(w.trail.Files[40], []byte("x")) }, verify.LogFileInvalid},
		"the newest digest":  {func(w *world) { w.store.Delete(w.trail.Digests[23]) }, verify.DigestMissing},
		"archived by nobody": {func(w *world) { w.store.Archive(w.trail.Files[40]) }, verify.LogFileUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.do(w)
			r, out, err := w.run(t)
			if err != nil || r.Valid {
				t.Fatalf("%+v, %v", r, err)
			}
			found := false
			for _, f := range r.Findings {
				found = found || f.Kind == string(tc.want) && f.Count == 1
			}
			if !found || !strings.Contains(out, string(tc.want)) {
				t.Errorf("%s is not among %+v\n%s", tc.want, r.Findings, out)
			}
		})
	}
}

// TestExpiredAndArchived are told from what was deleted.
func TestExpiredAndArchived(t *testing.T) {
	w := newWorld(t,
		record.LifecycleRule{Objects: record.LifecycleLogs, ExpireDays: 2},
		record.LifecycleRule{Objects: record.LifecycleLogs, TransitionDays: 1, StorageClass: "GLACIER"})
	w.clock.SetTime(start.AddDate(0, 0, 2).Add(90 * time.Minute)) // the files of the first hour have expired
	w.store.Delete(w.trail.Files[0])
	w.store.Archive(w.trail.Files[10])
	r, _, err := w.run(t)
	if err != nil || !r.Valid || r.LogFiles != (validation.Count{Total: 72, Valid: 70, Expired: 1, Archived: 1}) {
		t.Errorf("%+v, %v", r, err)
	}
	w.store.Delete(w.trail.Files[60]) // too young for any rule
	if r, _, err = w.run(t); err != nil || r.Valid || r.Findings[0].Kind != string(verify.LogFileMissing) {
		t.Errorf("%+v, %v", r, err)
	}
}

// refusing answers every call with an error.
type refusing struct {
	objectstore.Store
	err error
}

func (s refusing) List(context.Context, string, string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		yield(objectstore.Info{}, &objectstore.Error{Op: objectstore.OpList, Code: "PLANTED", Err: s.err})
	}
}

func TestCauses(t *testing.T) {
	w := newWorld(t)
	for err, want := range map[error]validation.Cause{
		objectstore.ErrAccessDenied: validation.CauseAccessDenied, objectstore.ErrBadCredentials: validation.CauseBadCredentials,
		objectstore.ErrNoBucket: validation.CauseNoBucket, objectstore.ErrCertificate: validation.CauseCertificate,
		objectstore.ErrForbiddenAddress: validation.CauseAddress, objectstore.ErrRegion: validation.CauseRegion,
		objectstore.ErrClockSkew: validation.CauseClockSkew, errors.New("PLANTED"): validation.CauseOther,
	} {
		r, _, runErr := runOn(t, refusing{err: err}, w.clock, record.MustJSON(w.input))
		if runErr == nil || r.Cause != want {
			t.Errorf("%v: %+v, %v, want %s", err, r, runErr, want)
		}
		if b, _ := json.Marshal(r); strings.Contains(string(b), "PLANTED") {
			t.Errorf("%v is quoted: %s", err, b)
		}
	}
	w.store.Archive(w.trail.Digests[3])
	if r, _, err := w.run(t); err == nil || r.Cause != validation.CauseArchived {
		t.Errorf("an archived digest: %+v, %v", r, err)
	}
}

func TestInput(t *testing.T) {
	w := newWorld(t)
	other := w.input
	other.Version++
	headless := w.input
	headless.Heads = nil
	for name, raw := range map[string][]byte{
		"empty": nil, "text": []byte("planted"), "long": make([]byte, validation.MaxInput+1),
		"another version": record.MustJSON(other), "no head": record.MustJSON(headless),
	} {
		if r, _, err := runOn(t, w.store, w.clock, raw); err == nil || r.Cause != validation.CauseInput {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	other = w.input
	other.Heads = []record.Head{{TrailARN: "arn:of:another"}}
	if r, _, err := runOn(t, w.store, w.clock, record.MustJSON(other)); err == nil || r.Cause == "" {
		t.Errorf("the head of another trail: %+v, %v", r, err)
	}
}

// TestKinds: the manager knows every kind of finding.
func TestKinds(t *testing.T) {
	known := append(append([]string{}, validation.LogFileKinds...), validation.DigestKinds...)
	all := []verify.Kind{
		verify.DigestMissing, verify.DigestInvalid, verify.DigestMoved, verify.DigestForeign, verify.DigestSignature,
		verify.KeyUnknown, verify.KeyUntrusted, verify.KeyRetired, verify.KeyInvalid, verify.ChainBroken, verify.ChainCut, verify.HeadMismatch,
		verify.LogFileMissing, verify.LogFileInvalid, verify.LogFileUnreadable, verify.LogFileDuplicate, verify.LogFileUnlisted, verify.LogFileElsewhere,
	}
	report := validation.Report{Version: validation.Version}
	for _, k := range all {
		if !slices.Contains(known, string(k)) {
			t.Errorf("%s is not known", k)
		}
		report.Findings = append(report.Findings, validation.Finding{Kind: string(k), Count: 999_999_999})
	}
	if len(all) != len(known) || len(known) > 20 { // so many fit into a status
		t.Errorf("%d kinds are known, of %d", len(known), len(all))
	}
	if n := len(record.MustJSON(report)); n > validation.MaxReport/2 {
		t.Errorf("the largest report has %d bytes", n)
	}
}
