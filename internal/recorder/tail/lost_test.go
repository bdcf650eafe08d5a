package tail

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestCopyTruncate: what somebody cuts off is counted, and the tail goes on.
func TestCopyTruncate(t *testing.T) {
	for name, regrown := range map[string]int{"shorter": 1, "longer": 50} {
		t.Run(name, func(t *testing.T) {
			p, w := testPlace(t)
			for range 10 {
				w.write(100)
			}
			p.drain(t)
			w.must(w.active.Truncate(0))
			_, err := w.active.Seek(0, 0)
			w.must(err)
			for range regrown {
				w.write(110)
			}
			p.drain(t)
			wantLines(t, p.in.lines, w.all)
			if p.lost("truncated") != 1 {
				t.Error("it was not counted")
			}
		})
	}
}

// TestDamaged: of a compressed file that power failure has cut short the
// beginning is sent, and the rest counted.
func TestDamaged(t *testing.T) {
	p, w := testPlace(t)
	for range 2000 {
		w.write(100)
	}
	w.rotate()
	f := w.files[0]
	zipped := gzipped(f.content)
	w.must(os.WriteFile(w.path(f.base+compressed), zipped[:len(zipped)*2/3], 0o600))
	w.must(os.Remove(w.path(f.base)))
	w.write(1)
	p.drain(t)
	if p.lost("damaged") != 1 {
		t.Error("it was not counted")
	}
	if p.in.broken != 1 {
		t.Errorf("%d broken lines were sent, want the one in the middle of which it ends", p.in.broken)
	}
	n := len(p.in.lines)
	if n < 500 || p.in.lines[n-1] != w.all[2000] {
		t.Fatalf("%d lines arrived, the last of the next file: %v", n, p.in.lines[n-1] == w.all[2000])
	}
	wantLines(t, p.in.lines[:n-2], w.all[:n-2])
	if !strings.HasPrefix(w.all[n-2], p.in.lines[n-2]) {
		t.Error("what was sent last of the damaged file is no beginning of a line")
	}
}

// TestNoHeader: a compressed file without a byte in it.
func TestNoHeader(t *testing.T) {
	p, w := testPlace(t)
	w.must(os.WriteFile(w.path("audit-2026-11-21T09-00-00.000.log.gz"), nil, 0o600))
	w.write(1)
	p.drain(t)
	wantLines(t, p.in.lines, w.all)
	if p.lost("damaged") != 1 {
		t.Error("it was not counted")
	}
}

// TestDeletedWhileAway: the file in which the tail stood, and those after it, are
// gone when it comes back. The receiver never got what was under way, and takes
// its number for what comes next.
func TestDeletedWhileAway(t *testing.T) {
	for name, answered := range map[string]bool{"it had arrived": true, "it had not": false} {
		t.Run(name, func(t *testing.T) {
			p, w := testPlace(t)
			w.write(10)
			p.drain(t)
			w.write(20)
			p.hit = func(at string) {
				if at == "tail/before-post" && !answered || at == "tail/after-post" {
					panic(killed{})
				}
			}
			for dead := false; !dead; {
				var err error
				if _, dead, err = p.step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			p.hit = func(string) {}
			w.rotate()
			w.write(30)
			w.rotate()
			w.remove()
			w.remove()
			w.write(40)
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
			p.drain(t)
			want := []string{w.all[0], w.all[3]}
			if answered {
				want = []string{w.all[0], w.all[1], w.all[3]}
			}
			wantLines(t, p.in.lines, want)
			if p.lost("deleted") != 1 {
				t.Errorf("%d files are counted", p.lost("deleted"))
			}
		})
	}
}

// TestDeletedUnread: with a receiver that is away, files that the tail knows are
// deleted; the one in which it stands is not lost.
func TestDeletedUnread(t *testing.T) {
	p, w := testPlace(t)
	w.write(10)
	p.drain(t)
	away := true
	p.in.answers = func() int {
		if !away {
			return http.StatusOK
		}
		for range 3 {
			w.rotate()
			w.write(10)
			if _, err := p.t.survey(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			w.remove() // the first is read by the tail
		}
		if _, err := p.t.survey(); err != nil {
			t.Fatal(err)
		}
		away = false
		return http.StatusServiceUnavailable
	}
	w.write(20)
	p.drain(t)
	wantLines(t, p.in.lines, append(w.all[:2:2], w.all[3:]...))
	if p.lost("deleted") != 1 {
		t.Errorf("%d files are counted as lost, want the one that nobody could read", p.lost("deleted"))
	}
}

// TestOldReceiver: a receiver whose volume was put back is sent what it does not
// know under the numbers it expects.
func TestOldReceiver(t *testing.T) {
	p, w := testPlace(t)
	for range 5 {
		w.write(10)
		p.drain(t)
	}
	source := p.t.state.Source
	p.in.marks[source] = 2
	w.write(20)
	p.drain(t)
	wantLines(t, p.in.lines, w.all)
	if got := p.in.marks[source]; got != 3 || p.t.state.Sequence != 3 {
		t.Errorf("the receiver is at %d, the tail at %d", got, p.t.state.Sequence)
	}
}

// TestReused: a file with the inode of one that was read is another file, and a
// compressed copy of one that was read is the same.
func TestReused(t *testing.T) {
	p, w := testPlace(t)
	for range 20 {
		w.write(30)
		p.drain(t)
		p.crash()
		w.rotate()
		if len(w.files)%2 == 0 {
			w.compress()
			w.compress()
			w.compress()
			w.compress()
		} else if len(w.files) > 4 {
			w.remove()
		}
		w.write(40) // its inode is mostly that of a file which is gone
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		p.drain(t)
	}
	wantLines(t, p.in.lines, w.all)
}

// TestCompressedAtOnce: a file that is compressed before the tail looks again is
// known by its content.
func TestCompressedAtOnce(t *testing.T) {
	p, w := testPlace(t)
	for range 5 {
		w.write(100)
		p.drain(t)
		w.write(100)
		w.rotate()
		w.compress()
		w.compress()
		w.write(100)
		p.drain(t)
	}
	wantLines(t, p.in.lines, w.all)
}

// TestWrittenBeforeRotation: what is written between a look at the file and its
// rotation is not left behind.
func TestWrittenBeforeRotation(t *testing.T) {
	p, w := testPlace(t)
	w.write(10)
	p.drain(t)
	done := false
	p.hit = func(at string) {
		if at == "tail/after-read" && !done {
			done = true
			w.write(20)
			w.rotate()
			w.write(30)
		}
	}
	p.drain(t)
	wantLines(t, p.in.lines, w.all)
}

// TestEndWhilePosting: what has no answer when the tail is asked to end is sent
// again, and what has one is not.
func TestEndWhilePosting(t *testing.T) {
	p, w := testPlace(t)
	for _, how := range []int{0, 1, http.StatusServiceUnavailable, http.StatusOK} {
		w.write(10)
		ctx, cancel := context.WithCancel(t.Context())
		p.in.answers = func() int { cancel(); return how }
		if err := p.t.Run(ctx); err != nil {
			t.Fatal(err)
		}
		p.crash()
		p.in.answers = func() int { return http.StatusOK }
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		p.drain(t)
		wantLines(t, p.in.lines, w.all)
	}
}

// TestSameHead: somebody who chooses how two files begin does not make them one.
func TestSameHead(t *testing.T) {
	p, w := testPlace(t)
	head := strings.Repeat(whole1+"\n", 2*edge/len(whole1))
	w.put(head)
	w.write(100)
	p.drain(t)
	p.crash()
	w.rotate()
	w.put(head)
	w.write(100)
	w.write(100)
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	p.drain(t)
	same := slices.Repeat([]string{whole1}, 2*edge/len(whole1))
	wantLines(t, p.in.lines, slices.Concat(same, w.all[:1], same, w.all[1:]))
}

// TestLongLine: lines that nobody can hold, at the ends of files, too.
func TestLongLine(t *testing.T) {
	p, w := testPlace(t)
	for range 2 {
		w.write(5)
		w.write(3 * batchSize)
		w.write(batchSize)
		w.begin(5 * batchSize)
		p.drain(t)
		w.endLine()
		p.drain(t)
		w.begin(4 * batchSize)
		w.rotate()
	}
	w.compress()
	w.compress()
	w.write(1)
	p.drain(t)
	wantLines(t, p.in.lines, w.all)
	if p.in.broken != 2 {
		t.Errorf("%d broken lines arrived, want the two that were cut off", p.in.broken)
	}
	if n := cap(p.t.body); n > 2*batchSize+len(listBegin)+len(listEnd) {
		t.Errorf("%d bytes were held", n)
	}
}

// TestBegin: a tail without a state begins with what is written when it is let
// in: before that the receiver does not know what the webhook has brought.
func TestBegin(t *testing.T) {
	const old = whole1 + "\n"
	for name, tc := range map[string]struct {
		rotated, active string
		backfill        bool
		want            int // old lines
	}{
		"no log":              {"", "", false, 0},
		"an old log":          {"", old + old, false, 0},
		"all of an old log":   {"", old + old, true, 2},
		"rotated files":       {old, old, false, 0},
		"all rotated files":   {old, old, true, 2},
		"a line half written": {"", old + whole1[:20], false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			logs := t.TempDir()
			w := newWriter(t, logs)
			if tc.rotated != "" {
				w.must(os.WriteFile(w.path("audit-2026-11-21T09-00-00.000.log"), []byte(tc.rotated), 0o600))
			}
			put := func(s string) {
				t.Helper()
				f, err := os.OpenFile(w.path("audit.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				w.must(err)
				_, err = f.WriteString(s)
				w.must(err)
				w.must(f.Close())
			}
			if tc.active != "" {
				put(tc.active)
			}
			p := newPlace(logs, t.TempDir(), newInbox(t))
			p.backfill = tc.backfill
			tries := 0
			p.in.answers = func() int {
				if tries++; tries < 4 && !tc.backfill {
					if strings.HasSuffix(tc.active, "\n") {
						put(old) // while it is not let in
					}
					return http.StatusUnauthorized
				}
				return http.StatusOK
			}
			w.must(p.start())
			defer func() { p.crash() }()
			p.drain(t)
			wantLines(t, p.in.lines, slices.Repeat([]string{whole1}, tc.want))
			first := w.event(1)
			rest := first
			if !strings.HasSuffix(tc.active, "\n") && tc.active != "" {
				first, rest = whole1, whole1[20:]
			}
			put(rest + "\n" + old)
			p.crash()
			w.must(p.start())
			p.drain(t)
			wantLines(t, p.in.lines, append(slices.Repeat([]string{whole1}, tc.want), first, whole1))
		})
	}
}

// TestCompressedMeanwhile: the compression of the file that is read may end between
// the list and the look at it.
func TestCompressedMeanwhile(t *testing.T) {
	p, w := testPlace(t)
	for range 10 {
		w.write(100)
	}
	p.drain(t)
	w.rotate()
	w.write(1)
	w.compress() // both are there
	files, err := p.t.folder.list()
	if err != nil {
		t.Fatal(err)
	}
	w.compress() // the plain one is gone
	if p.t.rotatedName(files) == "" {
		t.Error("the file has no name: it will be read again")
	}
}
