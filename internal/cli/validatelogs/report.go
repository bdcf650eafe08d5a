package validatelogs

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/printers"

	"github.com/trail-operator/trail-operator/internal/cli/table"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
)

func writeJSON(w io.Writer, r *verify.Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// writeText writes for people. Keys and messages come from the bucket, so
// nothing of them may steer the terminal.
func writeText(w io.Writer, r *verify.Result) error {
	colors := table.Colors(w)
	var b strings.Builder
	fmt.Fprintf(&b, "Trail   %s\nBucket  %s\n", table.Clean(r.TrailARN), table.Clean(r.Bucket))
	if !r.Start.IsZero() {
		fmt.Fprintf(&b, "Covers  %s to %s\n", stamp(r.Start), stamp(r.End))
	}
	if len(r.Findings) > 0 {
		b.WriteString("\n")
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "%s  %s\n  %s\n", table.Paint(string(f.Kind), table.Bad, colors), table.Clean(f.Key), table.Clean(f.Message))
		}
	}
	if r.FindingsOmitted > 0 {
		fmt.Fprintf(&b, "… and %d more findings\n", r.FindingsOmitted)
	}
	for _, g := range r.Gaps {
		how := "was stopped"
		if !g.Closed {
			how = "broke off, without a final digest"
		}
		fmt.Fprintf(&b, "\nBetween %s and %s nothing was recorded: the trail %s.\n", stamp(g.From), stamp(g.To), how)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n%s  %s\n", table.Paint("Note", table.Doubtful, colors), table.Clean(n))
	}
	fmt.Fprintf(&b, "\n%d/%d digests valid\n%d/%d log files valid", r.Digests.Valid, r.Digests.Total, r.LogFiles.Valid, r.LogFiles.Total)
	if r.LogFiles.Expired > 0 {
		fmt.Fprintf(&b, ", %d expired", r.LogFiles.Expired)
	}
	if r.LogFiles.Archived > 0 {
		fmt.Fprintf(&b, ", %d archived", r.LogFiles.Archived)
	}
	b.WriteString("\n")
	if r.Undigested > 0 {
		fmt.Fprintf(&b, "Log files that are newer than these digests, and not validated: %d\n", r.Undigested)
	}
	answer := table.Paint("VALID", table.Good, colors)
	if !r.Valid {
		answer = table.Paint("NOT VALID", table.Bad, colors)
	}
	fmt.Fprintf(&b, "\nThe trail is %s.\n", answer)
	_, err := io.WriteString(w, b.String())
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(record.TimeFormat) }

// progress is a line on a terminal that shows how far validation is.
type progress struct {
	w     io.Writer // nil: not a terminal
	last  time.Time
	shown bool
}

// refresh is how often the line changes.
const refresh = 100 * time.Millisecond

func newProgress(w io.Writer) *progress {
	if !printers.IsTerminal(w) {
		w = nil
	}
	return &progress{w: w}
}

func (p *progress) show(n verify.Progress) {
	if p.w == nil || time.Since(p.last) < refresh {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.w, "\r\x1b[K%s", line(n))
}

func line(n verify.Progress) string {
	switch {
	case n.Digests < n.DigestsTotal:
		return fmt.Sprintf("reading digests: %d of %d", n.Digests, n.DigestsTotal)
	case n.LogFiles < n.LogFilesTotal:
		return fmt.Sprintf("validating log files: %d of %d", n.LogFiles, n.LogFilesTotal)
	}
	return fmt.Sprintf("looking for log files without a digest: %d", n.Listed)
}

// clear removes the line.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
