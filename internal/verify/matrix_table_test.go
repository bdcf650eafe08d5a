package verify

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

var update = flag.Bool("update", false, "write the table in docs/threat-model.md anew")

// reason says why a change is not found.
type reason string

const (
	same       reason = "same"
	outside    reason = "outside"
	published  reason = "published"
	idle       reason = "idle"
	undigested reason = "undigested"
	unreadable reason = "unreadable"
	expired    reason = "expired"
	newer      reason = "newer"
	replaced   reason = "replaced"
	genuine    reason = "genuine"
	ahead      reason = "ahead"
)

// reasons are the arguments of the page, in the order of their letters.
var reasons = []struct {
	reason
	title, text string
}{
	{same, "The record is the same", "What is hashed and signed is the inflated content, as with CloudTrail. How it is compressed says nothing."},
	{expired, "It would be gone by now", "A rule that a signed digest lists has had the time to delete it, and a bucket does not tell who deleted what. " +
		"`LogFileExpired` and `DigestExpired` name each. Versioning, or the bucket's own access log, would show it."},
	{undigested, "It may be in the next digest", "A file that was stored after the newest digest cannot be told from one that the next digest will list, " +
		"whatever its name says: files wait for a bucket that is away. They are counted as not validated. The next digest, within the hour, makes it `LogFileUnlisted`."},
	{unreadable, "It cannot be read", "`LogFileArchived` names it, and it does not count as valid. Validation after restoring it finds what was changed."},
	{newer, "Nothing newer is left to contradict", "Every digest vouches for the ones before it, and none for the ones after it. Only somebody who knows of a newer one can miss it: " +
		"a head that is newer than what was deleted. Without one, a note says when digests are overdue, unless what is left ends with a final digest. " +
		"After a deletion that the receiver survives, its next digest names the deleted one."},
	{published, "Nobody relies on it", "`validityStartTime` of a published key is for people. Which digests a key may sign follows from signatures and the chain."},
	{idle, "A key that signed nothing changes nothing", "Any key can be made to look as if it had come before the first. What it signs is found, see the changes below."},
	{outside, "It is no part of the record", "`trail-owner.json` keeps other trails away from the prefix and is not evidence; the manager makes it anew, or reports `Conflict`. " +
		"Nothing reads other objects below the prefix, or types of objects."},
	{replaced, "Everything is the attacker's", "Keys, digests and files agree with each other; what is validated is another trail. The output says that the keys are not pinned. " +
		"A pinned key or any head is enough."},
	{genuine, "The signatures are genuine", "Whoever holds a signing key can write what the installation could have written, from any point on. " +
		"Only what was written down elsewhere contradicts it: a head that is newer than the change. A note counts digests that were stored more than an hour after their time, " +
		"which nobody who writes through the bucket's own interface can avoid for older ones."},
	{ahead, "It is newer than every head", "The same for the future: it stands until the receiver's own next digest, which contradicts it (`ChainBroken`), " +
		"or until it is compared with a newer head. What it excuses by lifecycle rules is named as notices."},
}

func (r reason) letter() string {
	i := slices.IndexFunc(reasons, func(known struct {
		reason
		title, text string
	},
	) bool {
		return known.reason == r
	})
	return string(rune('a' + i))
}

type group struct {
	name, intro string
	rows        []row
}

func groups(w *world) []group {
	return []group{
		{"One log file", "Each change is made to each log file of a trail of four days, each alone.", logFileRows(w)},
		{"One digest", "Each change is made to each digest.", digestRows(w)},
		{"Keys and other objects", "", keyRows(w)},
		{"Several objects, without a key of the installation", "What write access to the bucket allows, and a key of one's own.", rowsWithoutKey()},
		{"With a signing key that was replaced", "And write access to the bucket.", rowsWithRetiredKey()},
		{"With the present signing key", "And write access to the bucket.", rowsWithPresentKey()},
		{"No tampering", "What happens to a trail anyway is valid; notes and notices say what it was.", honestRows()},
	}
}

func (c cell) String() string {
	switch {
	case c.verdict == valid && c.why == "":
		return "valid"
	case c.verdict == valid:
		return "**no** (" + c.why.letter() + ")"
	case c.verdict == told && c.why == "":
		return "valid, said"
	case c.verdict == told:
		return "said (" + c.why.letter() + ")"
	}
	return verdictNames[c.verdict]
}

// table is the part of docs/threat-model.md between the marks.
func table(w *world) string {
	var b strings.Builder
	used := map[reason]bool{}
	for _, g := range groups(w) {
		fmt.Fprintf(&b, "\n### %s\n\n", g.name)
		if g.intro != "" {
			fmt.Fprintf(&b, "%s\n\n", g.intro)
		}
		fmt.Fprintf(&b, "| change | %s | found as |\n|%s\n", strings.Join(inputNames[:], " | "), strings.Repeat("---|", int(inputs)+2))
		for _, r := range g.rows {
			fmt.Fprintf(&b, "| %s |", r.change)
			var kinds []string
			for _, c := range r.want {
				fmt.Fprintf(&b, " %s |", c)
				used[c.why] = true
				for _, k := range c.kinds {
					if name := "`" + string(k) + "`"; !slices.Contains(kinds, name) {
						kinds = append(kinds, name)
					}
				}
			}
			fmt.Fprintf(&b, " %s |\n", strings.Join(kinds, ", "))
		}
	}
	b.WriteString("\n### What cannot be found, and why\n\n")
	for _, r := range reasons {
		if !used[r.reason] {
			panic("no cell has the reason " + r.reason)
		}
		fmt.Fprintf(&b, "- (%s) **%s.** %s\n", r.letter(), r.title, r.text)
	}
	b.WriteString("\n")
	return b.String()
}

// TestTamperTable: the page shows what the matrix expects.
func TestTamperTable(t *testing.T) {
	const (
		page  = "../../docs/threat-model.md"
		begin = "<!-- Written by `go test ./internal/verify -run TamperTable -update`: -->\n"
		end   = "<!-- until here. -->\n"
	)
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	want := table(newWorld(t))
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("the table of %s differs from what is tested (-want +got); write it anew with -update:\n%s", page, diff)
	}
}

// stored is b as a gzip file that is not compressed.
func stored(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Name = "other"
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
