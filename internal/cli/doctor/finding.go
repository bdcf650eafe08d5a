package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/trail-operator/trail-operator/internal/cli/table"
)

// State of a link of the chain.
type State string

// States. Only problems make the answer no.
const (
	OK        State = "ok"
	Warning   State = "warning"
	Problem   State = "problem"
	Unchecked State = "unchecked"
)

// Finding is what was found of one link: one line, and one for the next step.
type Finding struct {
	State State `json:"state"`
	// Link of the chain, such as manager.
	Link string `json:"link"`
	// Subject is what of the link is meant, such as the name of an API server;
	// empty for all of it.
	Subject string `json:"subject,omitempty"`
	Message string `json:"message"`
	// Next is the next step; empty where there is none.
	Next string `json:"next,omitempty"`
}

// report is the output with -o json.
type report struct {
	// OK: no problem was found. What was not checked may hide some.
	OK       bool      `json:"ok"`
	Findings []Finding `json:"findings"`
}

func count(findings []Finding, s State) (n int) {
	for i := range findings {
		if findings[i].State == s {
			n++
		}
	}
	return n
}

var styles = map[State]table.Style{OK: table.Good, Warning: table.Doubtful, Problem: table.Bad}

// write prints findings for people.
func write(w io.Writer, all []Finding, colors bool) error {
	findings := shorten(all)
	link := 0
	for i := range findings {
		link = max(link, len(findings[i].Link))
	}
	var b strings.Builder
	for i := range findings {
		f := &findings[i]
		message := f.Message
		if f.Subject != "" {
			message = f.Subject + ": " + message
		}
		const state = len(Unchecked)
		fmt.Fprintf(&b, "%s%s  %-*s  %s\n", table.Paint(string(f.State), styles[f.State], colors),
			strings.Repeat(" ", state-len(f.State)), link, f.Link, table.Clean(message))
		if f.Next != "" {
			fmt.Fprintf(&b, "%s→ %s\n", strings.Repeat(" ", state+2+link+2), table.Clean(f.Next))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", summary(all))
	_, err := io.WriteString(w, b.String())
	return err
}

func summary(findings []Finding) string {
	parts := []string{}
	for _, s := range []State{Problem, Warning} {
		if n := count(findings, s); n > 0 {
			parts = append(parts, plural(n, string(s)))
		}
	}
	if n := count(findings, Unchecked); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not checked", n))
	}
	if len(parts) == 0 {
		return "Everything is well."
	}
	if count(findings, Problem) == 0 {
		return "No problem was found; " + strings.Join(parts, ", ") + "."
	}
	return strings.Join(parts, ", ") + "."
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// no is the answer no.
type no struct{ problems int }

func (n no) Error() string {
	if n.problems == 1 {
		return "1 problem was found; see its line and the next step below it"
	}
	return fmt.Sprintf("%d problems were found; see their lines and the next step below each", n.problems)
}

// ExitCode is that of the answer no.
func (no) ExitCode() int { return 1 }
