package verify

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/signing"
)

// input is what a verifier has beside the bucket.
type input int

const (
	bucketAlone input = iota
	pinned
	olderHead
	withHead
	pinnedAndHead
	inputs
)

var inputNames = [inputs]string{"bucket alone", "pinned key", "head of the day before", "newest head", "both"}

// verdict is what validation says.
type verdict int

const (
	valid   verdict = iota // and nothing more
	told                   // valid, with a note, a notice or a count
	found                  // not valid
	refused                // validation ends with an error
)

var verdictNames = []string{"no", "said", "found", "refused"}

// cell is what one row comes to with one input.
type cell struct {
	verdict
	kinds []Kind // found: at least one of them, about what was changed
	why   reason // valid, told: why not more
}

func finds(kinds ...Kind) cell { return cell{verdict: found, kinds: kinds} }
func tells(why reason) cell    { return cell{verdict: told, why: why} }
func misses(why reason) cell   { return cell{verdict: valid, why: why} }

// row is one change, and what is to be expected of it.
type row struct {
	change string
	// cases apply it, each to one object or set of objects.
	cases []tampering
	want  [inputs]cell
	// also are kinds that may be found besides.
	also []Kind
	// honest rows are compared with the trail as it was before.
	honest bool
}

// tampering changes a world. It returns the keys that findings must be about;
// none means any.
type tampering func(t *testing.T, w *world) []string

// consequences may follow from any finding.
var consequences = []Kind{LogFileUnlisted, ChainBroken, HeadMismatch}

func always(c cell) [inputs]cell { return [inputs]cell{c, c, c, c, c} }

// noticed is the verdict without a finding: what is said of w that is not said
// of the world in which nobody has changed anything.
func noticed(r, untouched *Result) verdict {
	known := func(list []string, s string) bool {
		return strings.HasPrefix(s, "No head was given") || slices.Contains(list, s)
	}
	for _, n := range r.Notes {
		if !known(untouched.Notes, n) {
			return told
		}
	}
	for _, n := range r.Notices {
		if !slices.Contains(untouched.Notices, n) {
			return told
		}
	}
	if r.Undigested > untouched.Undigested || slices.ContainsFunc(r.Gaps, func(g Gap) bool { return !slices.Contains(untouched.Gaps, g) }) {
		return told
	}
	return valid
}

// TestTamperMatrix applies every change to every object that it can be about,
// and validates with everything that a verifier may have.
func TestTamperMatrix(t *testing.T) {
	base := newWorld(t)
	for _, g := range groups(base) {
		for _, r := range g.rows {
			t.Run(g.name+"/"+r.change, func(t *testing.T) {
				seen := map[Kind]bool{}
				for _, change := range r.cases {
					w := base.clone()
					about := change(t, w)
					for in := range inputs {
						r.check(t, base, w, in, about, seen)
					}
				}
				for in, c := range r.want {
					for _, k := range c.kinds {
						if !seen[k] {
							t.Errorf("with %s: %s is expected, and never found", inputNames[in], k)
						}
					}
				}
			})
		}
	}
}

// untouched is what validation says of the trail at the same time, if nobody
// has changed anything.
func (w *world) untouched(t *testing.T, honest bool, changed *world, in input) *Result {
	t.Helper()
	u := w.clone()
	if !honest {
		for range changed.added {
			u.next(t, changed.honest.Final)
		}
		u.now = changed.now
	}
	key := state{in, u.added, u.now, u.honest.Final}
	if w.known[key] == nil {
		r, err := Run(t.Context(), u.options(in))
		if err != nil || !r.Valid {
			t.Fatalf("the untouched trail: %v, %+v", err, r)
		}
		w.known[key] = r
	}
	return w.known[key]
}

type state struct {
	input
	next  int
	now   time.Time
	final bool
}

func (r *row) check(t *testing.T, base, w *world, in input, about []string, seen map[Kind]bool) {
	t.Helper()
	want := r.want[in]
	was := base.untouched(t, r.honest, w, in)
	o := w.options(in)
	if want.verdict == found && in == pinnedAndHead {
		o.DetachedSignatures = true
		if copied, err := Run(t.Context(), o); err != nil || copied.Valid {
			t.Errorf("%v, in a copy: %v, %+v", about, err, copied)
		}
		o.DetachedSignatures = false
	}
	result, err := Run(t.Context(), o)
	switch {
	case err != nil:
		if want.verdict != refused {
			t.Errorf("with %s, %v: %v", inputNames[in], about, err)
		}
		return
	case result.Valid:
		if got := noticed(result, was); got != want.verdict {
			t.Errorf("with %s, %v: got %q, want %q; notes %q, notices %v, %d undigested", inputNames[in], about,
				verdictNames[got], verdictNames[want.verdict], result.Notes, result.Notices, result.Undigested)
		}
		return
	case want.verdict != found:
		t.Errorf("with %s, %v: want %q, found %v", inputNames[in], about, verdictNames[want.verdict], result.Findings)
		return
	}
	hit := false
	for _, f := range result.Findings {
		switch {
		case slices.Contains(want.kinds, f.Kind) && (len(about) == 0 || slices.Contains(about, f.Key)):
			hit, seen[f.Kind] = true, true
		case !slices.Contains(want.kinds, f.Kind) && !slices.Contains(r.also, f.Kind) && !slices.Contains(consequences, f.Kind):
			t.Errorf("with %s, %v: unexpected %s %s: %s", inputNames[in], about, f.Kind, f.Key, f.Message)
		}
	}
	if !hit {
		t.Errorf("with %s, %v: want %v, found %v", inputNames[in], about, want.kinds, result.Findings)
	}
}

// TestEveryBit: a single bit is found wherever it is, unless what was recorded
// is still the same.
func TestEveryBit(t *testing.T) {
	f := emptyFixture(t)
	f.Hours(t, 1, 1)
	f.Final(t, at("10:05:00"), 0)
	same := map[string]func(old, b []byte) bool{
		f.Files[0]: sameContent, f.Digests[0]: sameContent, f.Layout.DigestKey(f.Keys[0].Fingerprint): sameKey,
	}
	for key, same := range same {
		old := f.store.Objects()[key].Body
		harmless := 0
		for i := range len(old) * 8 {
			b := bytes.Clone(old)
			b[i/8] ^= 1 << (i % 8)
			f.store.Overwrite(key, b)
			if r := f.run(t, f.options()); r.Valid {
				if harmless++; !same(old, b) {
					t.Errorf("bit %d of %s is not noticed", i, key)
				}
			}
		}
		f.store.Overwrite(key, old)
		t.Logf("%s: %d bits, %d of them say nothing", key, len(old)*8, harmless)
	}
	entries := f.store.Objects()[f.Digests[0]].Metadata
	for name, old := range entries {
		for i := range len(old) * 8 {
			b := []byte(old)
			b[i/8] ^= 1 << (i % 8)
			entries[name] = string(b)
			if r := f.run(t, f.options()); r.Valid && !strings.EqualFold(old, string(b)) {
				t.Errorf("bit %d of the %s of %s is not noticed", i, name, f.Digests[0])
			}
		}
		entries[name] = old
	}
}

func sameContent(old, b []byte) bool {
	a, errA := contentOf(old)
	c, errC := contentOf(b)
	return errA == nil && errC == nil && bytes.Equal(a, c)
}

func contentOf(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func sameKey(old, b []byte) bool {
	p, _, errP := signing.ParsePublished(old)
	q, _, errQ := signing.ParsePublished(b)
	p.ValidityStart, q.ValidityStart = "", ""
	return errP == nil && errQ == nil && reflect.DeepEqual(p, q)
}
