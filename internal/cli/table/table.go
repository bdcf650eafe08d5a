// Package table prints what commands show to people: aligned columns, with
// colors on a terminal only, and nothing that steers the terminal.
package table

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/cli-runtime/pkg/printers"
)

// Style is how a cell is meant.
type Style int

// Styles.
const (
	Plain Style = iota
	Good
	Bad
	Doubtful
)

var codes = map[Style]string{Good: "\x1b[32m", Bad: "\x1b[31m", Doubtful: "\x1b[33m"}

const reset = "\x1b[0m"

// Cell is one cell; an empty text is shown as a dash.
type Cell struct {
	Text  string
	Style Style
}

// Text is a plain cell.
func Text(s string) Cell { return Cell{Text: s} }

// Table is a header, which may be left out, and rows of as many cells.
type Table struct {
	Header []string
	Rows   [][]Cell
}

const gap = "   "

// Write prints the table, in color if colors is set; see Colors.
func (t Table) Write(w io.Writer, colors bool) error {
	var rows [][]Cell
	if len(t.Header) > 0 {
		header := make([]Cell, len(t.Header))
		for i, h := range t.Header {
			header[i] = Text(h)
		}
		rows = append(rows, header)
	}
	rows = append(rows, t.Rows...)
	var width []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(shown(c.Text)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			text := shown(c.Text)
			line.WriteString(Paint(text, c.Style, colors))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(text)) + gap)
			}
		}
		if _, err := fmt.Fprintln(w, line.String()); err != nil {
			return err
		}
	}
	return nil
}

func shown(s string) string {
	if s = Clean(s); s == "" {
		return "-"
	}
	return s
}

// Bytes is a number of bytes with a binary unit.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/unit, "KMGTPE"
	for v >= unit && len(units) > 1 {
		v, units = v/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", v, units[0])
}

// Paint colors text.
func Paint(text string, style Style, colors bool) string {
	if code := codes[style]; colors && code != "" {
		return code + text + reset
	}
	return text
}

// Clean replaces control characters: names and messages come from elsewhere,
// and must not steer the terminal.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Colors reports whether w is a terminal that wants colors.
func Colors(w io.Writer) bool {
	return printers.IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
