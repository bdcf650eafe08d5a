package verify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// bomb is a small gzip file that inflates to size zeros.
func bomb(t testing.TB, size int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.CopyN(w, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBombsAreCutOff(t *testing.T) {
	limit(t, &maxLogFile, 1<<20)
	f := newFixture(t)
	f.store.Overwrite(f.Digests[0], bomb(t, maxDigest+1))
	f.store.Overwrite(f.Files[4], bomb(t, maxLogFile+1))
	r := f.run(t, f.options())
	wantFindings(t, r, Finding{Kind: DigestInvalid, Key: f.Digests[0]}, Finding{Kind: LogFileInvalid, Key: f.Files[4]},
		Finding{Kind: LogFileUnlisted, Key: f.Files[0]}, Finding{Kind: LogFileUnlisted, Key: f.Files[1]})
	for _, finding := range r.Findings[:2] {
		if !strings.Contains(finding.Message, "inflates to more than") && finding.Kind != LogFileUnlisted {
			t.Errorf("%s: %s", finding.Kind, finding.Message)
		}
	}
}

func TestLargeObjectsAreCutOff(t *testing.T) {
	source := &sourceReader{r: zeros{}, left: maxCompressed}
	n, err := io.Copy(io.Discard, source)
	if !errors.Is(err, errTooLarge) || n != maxCompressed {
		t.Errorf("%d bytes were read, then %v", n, err)
	}
	if got := source.blame(err); !errors.Is(got, errTooLarge) {
		t.Errorf("it is blamed on %v", got)
	}
}

func TestBrokenConnectionsAreRepeated(t *testing.T) {
	f := newFixture(t)
	for breaks, wantErr := range []bool{attempts: true, attempts - 1: false} {
		if breaks == 0 {
			continue
		}
		broken := 0
		f.store.SetHook(func(_ context.Context, op objectstore.Op, key string) memory.Fault {
			if op == objectstore.OpGet && key == f.Files[2] && broken < breaks {
				broken++
				return memory.Fault{CutAfter: 20}
			}
			return memory.Fault{}
		})
		v, err := newVerifier(f.options())
		if err != nil {
			t.Fatal(err)
		}
		v.retryDelay = 0
		r, err := v.run(context.Background())
		if gotErr := err != nil; gotErr != wantErr {
			t.Errorf("a connection that breaks %d times: %v", breaks, err)
		}
		if err == nil && !r.Valid {
			t.Errorf("a broken connection was taken for tampering: %+v", r.Findings)
		}
		if wantErr && !errors.Is(err, objectstore.ErrUnreachable) {
			t.Errorf("got %v, want ErrUnreachable", err)
		}
	}
}

func TestBrokenListingsGoOn(t *testing.T) {
	f := newFixture(t)
	v, err := newVerifier(f.options())
	if err != nil {
		t.Fatal(err)
	}
	v.retryDelay = 0
	v.Reader = &flakyLister{Reader: f.store}
	r, err := v.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, r)
	if r.Digests.Total != 5 || v.progress.Listed != 10 {
		t.Errorf("%d digests and %d log files were listed", r.Digests.Total, v.progress.Listed)
	}
}

// flakyLister breaks every listing after each object.
type flakyLister struct{ Reader }

func (l *flakyLister) List(ctx context.Context, prefix, after string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		for info, err := range l.Reader.List(ctx, prefix, after) {
			if yield(info, err) && err == nil {
				yield(objectstore.Info{}, objectstore.ErrThrottled)
			}
			return
		}
	}
}

func limit[N int | int64](t *testing.T, p *N, n N) {
	old := *p
	*p = n
	t.Cleanup(func() { *p = old })
}

func TestLimitsOfARun(t *testing.T) {
	f := newFixture(t)
	limit(t, &maxDigests, 4)
	if _, err := Run(context.Background(), f.options()); err == nil || !strings.Contains(err.Error(), "shorter time") {
		t.Errorf("too many digests: %v", err)
	}
	limit(t, &maxDigests, 5)
	limit(t, &maxLogFiles, 9)
	if _, err := Run(context.Background(), f.options()); err == nil || !strings.Contains(err.Error(), "shorter time") {
		t.Errorf("too many log files: %v", err)
	}
	limit(t, &maxLogFiles, 10)
	limit(t, &maxFindings, 3)
	for _, key := range f.Files {
		f.store.Delete(key)
	}
	r := f.run(t, f.options())
	wantFindings(t, r, Finding{Kind: LogFileMissing, Key: f.Files[0]}, Finding{Kind: LogFileMissing, Key: f.Files[1]}, Finding{Kind: LogFileMissing, Key: f.Files[2]})
	if r.FindingsOmitted != 7 {
		t.Errorf("%d findings were omitted, want 7", r.FindingsOmitted)
	}
}

// Digests with names of remote times must not keep the verifier busy.
func TestForgedNamesAreHarmless(t *testing.T) {
	f := newFixture(t)
	old := f.Layout.Digest(f.Name, at("09:00:00").AddDate(-2000, 0, 0))
	late := f.Layout.Digest(f.Name, at("09:00:00").AddDate(7000, 0, 0))
	f.Put(t, old, []byte("x"), nil)
	f.Put(t, late, []byte("x"), nil)
	r := f.run(t, f.options())
	wantFindings(t, r, Finding{Kind: DigestInvalid, Key: old}, Finding{Kind: DigestInvalid, Key: late})
	f.store.Delete(f.Digests[4])
	f.store.Delete(f.Digests[3])
	r = f.run(t, f.options())
	if r.Valid || r.FindingsOmitted > 0 {
		t.Errorf("%+v", r)
	}
}

func FuzzParseDigest(f *testing.F) {
	fx := newFixture(f)
	for _, key := range fx.Digests[:2] {
		f.Add(verifytest.Gunzip(f, fx.store.Objects()[key].Body))
	}
	f.Add([]byte(`{"digestStartTime":"2026-03-01T09:00:00Z","digestEndTime":"2026-03-01T10:00:00Z","digestSequence":1,"chainID":"c","previousChain":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseDigest(b)
		if err != nil {
			return
		}
		l := &link{d: p.digest, start: p.start, end: p.end}
		if before := l.before(); before != nil && len(before.Object) > maxField {
			t.Error("a field is too long")
		}
		p.digest.StringToSign("")
	})
}

// FuzzRun replaces objects of a trail by anything.
func FuzzRun(f *testing.F) {
	fx := newFixture(f)
	f.Add(fx.store.Objects()[fx.Digests[1]].Body, []byte(`{"LogFiles":[{}]}`), uint8(2))
	f.Fuzz(func(t *testing.T, digest, key []byte, which uint8) {
		store := memory.New(fx.clock)
		for k, o := range fx.store.Objects() {
			store.Overwrite(k, o.Body) // without its metadata, as a download
		}
		target := fx.Digests[int(which)%len(fx.Digests)]
		changed := !bytes.Equal(digest, fx.store.Objects()[target].Body)
		store.Overwrite(target, digest)
		store.Overwrite(fx.Layout.DigestKey("00"), key)
		o := fx.options()
		o.Reader, o.DetachedSignatures = store, true
		r, err := Run(context.Background(), o)
		if err == nil && r.Valid && changed {
			t.Error("a changed digest is valid")
		}
	})
}

func BenchmarkRun(b *testing.B) {
	f := emptyFixture(b)
	f.Hours(b, 24, 12)
	b.ReportAllocs()
	for b.Loop() {
		r, err := Run(context.Background(), f.options())
		if err != nil || !r.Valid {
			b.Fatal(err, r)
		}
	}
	b.ReportMetric(float64(24*12*b.N)/b.Elapsed().Seconds(), "logfiles/s")
}
