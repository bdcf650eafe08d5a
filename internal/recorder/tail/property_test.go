package tail

import (
	"context"
	"net/http"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestExactlyOnce writes, rotates, compresses and deletes in any order, while
// the tail is killed anywhere and answers are lost: each line arrives once and in
// order, but for those that were deleted unread; of these the files that the tail
// knew are counted.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "tail")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		logs := dir + "/log"
		if err := os.Mkdir(logs, 0o755); err != nil {
			t.Fatal(err)
		}
		in, w := newInbox(t), newWriter(t, logs)
		defer func() { _ = w.active.Close() }()
		p := newPlace(logs, dir+"/state", in)
		gone := map[string]bool{} // lines that were deleted before they arrived

		deleting := rapid.Bool().Draw(t, "deleting")
		arrived := map[string]bool{}
		change := func(what int) {
			switch what {
			case 0, 1:
				for range rapid.IntRange(1, 5).Draw(t, "lines") {
					w.write(rapid.SampledFrom([]int{0, 10, 300}).Draw(t, "size"))
				}
			case 2:
				w.begin(20)
			case 3:
				w.endLine()
			case 4:
				w.rotate()
			case 5:
				w.rotate()
				w.open()
			case 6, 7:
				w.compress()
			case 8:
				w.write(rapid.SampledFrom([]int{0, batchSize - 200, batchSize + 10}).Draw(t, "large"))
			case 9:
				w.endLine()
				w.put("\n\n")
			case 10:
				if !deleting {
					return
				}
				waited := slices.Clone(p.t.state.Waiting)
				f := w.remove()
				if f == nil {
					return
				}
				for _, l := range in.lines {
					arrived[l] = true
				}
				for _, l := range f.lines {
					if !arrived[l] {
						gone[l] = true
					}
				}
				before := p.lost("deleted")
				if _, err := p.t.survey(); err != nil {
					t.Fatal(err)
				}
				if after := p.lost("deleted"); slices.Contains(waited, f.base) && p.t.name != f.base && after <= before {
					t.Fatalf("%s waited and was deleted, and %d files are counted as lost, before %d", f.base, after, before)
				}
			}
		}
		kill := -1
		p.hit = func(string) {
			if rapid.IntRange(0, 9).Draw(t, "meanwhile") == 0 {
				for range rapid.IntRange(1, 3).Draw(t, "changes") {
					change(rapid.IntRange(0, 10).Draw(t, "what"))
				}
			}
			if kill--; kill == 0 {
				panic(killed{})
			}
		}
		refused := 0
		in.answers = func() int {
			how := rapid.SampledFrom([]int{http.StatusOK, http.StatusOK, http.StatusOK, 0, 1, http.StatusServiceUnavailable}).Draw(t, "answer")
			if refused++; how == http.StatusOK || refused > 3 {
				refused, how = 0, http.StatusOK
			}
			return how
		}
		start := func() {
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		}
		start()
		defer func() { p.crash() }()
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) { change(rapid.IntRange(0, 10).Draw(t, "what")) },
			"step": func(t *rapid.T) {
				kill = rapid.IntRange(0, 12).Draw(t, "kill")
				for range rapid.IntRange(1, 8).Draw(t, "steps") {
					if _, dead, err := p.step(context.Background()); err != nil {
						t.Fatal(err)
					} else if dead {
						start()
						break
					}
				}
				kill = -1
			},
			"restart": func(*rapid.T) {
				p.crash()
				start()
			},
		})
		in.answers, p.hit = func() int { return http.StatusOK }, func(string) {}
		w.rotate() // so that an unfinished line is one for good
		w.open()
		p.drain(t)

		var want []string
		came := map[string]int{}
		for _, l := range in.lines {
			came[l]++
		}
		for _, l := range w.all {
			if gone[l] && came[l] == 0 {
				continue
			}
			want = append(want, l)
		}
		wantLines(t, in.lines, want)
		if lost := p.lost("truncated") + p.lost("damaged"); lost > 0 {
			t.Fatalf("%d files are counted as truncated or damaged", lost)
		}
	})
}
