package tail

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

const whole1 = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","a":1}`

func TestNext(t *testing.T) {
	torn := whole1[:len(whole1)-3]
	for name, tc := range map[string]struct {
		data string
		last bool
		want span
	}{
		"nothing":                      {"", false, span{}},
		"nothing more":                 {"", true, span{}},
		"an unfinished line":           {whole1, false, span{}},
		"the last line, without end":   {whole1, true, span{end: len(whole1), lines: 1}},
		"lines, and an unfinished one": {whole1 + "\n{}\n" + torn, false, span{end: len(whole1) + 4, lines: 2}},
		"the last one is torn":         {torn, true, span{end: len(torn), lines: 1, broken: true}},
		"torn, and the next in line":   {torn + whole1 + "\n{}\n", false, span{end: len(torn+whole1) + 1, lines: 1, broken: true}},
		"before a torn one":            {"{}\n" + torn + whole1 + "\n", false, span{end: 3, lines: 1}},
		"blank lines":                  {" \n\r\n{}\n", false, span{blank: 4, end: 7, lines: 1}},
		"blank lines alone":            {" \n\r\n", false, span{blank: 4, end: 4}},
		"up to a blank line":           {"{}\n\n{}\n", false, span{end: 3, lines: 1}},
		"text":                         {"2026-11-21 AUDIT: id=1\n", false, span{end: 23, lines: 1, broken: true}},
		"zeros after a power failure":  {whole1[:20] + "\x00\x00\x00" + whole1[23:] + "\n{}\n", false, span{end: len(whole1) + 1, lines: 1, broken: true}},
		"an event in an event":         {whole1[:len(whole1)-2] + whole1 + "}\n", false, span{end: 2*len(whole1) - 2 + 2, lines: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, next([]byte(tc.data), tc.last), cmp.AllowUnexported(span{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// items counts the items of a list as the receiver cuts them.
type items int

func (i *items) Item(*auditevent.Item) error { *i++; return nil }
func (i *items) Cut([32]byte) error          { return nil }

// FuzzLines: whatever stands in a log, each line is sent once and in order, and
// the receiver finds as many items in a list as there are lines; a broken line is
// alone.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n\n"+whole1+"\n"+whole1[:30]+whole1+"\n[1,2]\n\"a\n"), true)
	f.Add(bytes.Repeat([]byte(whole1+"\r\n"), 3), false)
	f.Add([]byte("{\"a\":\"\x00\"}\n"+strings.Repeat("[", 300)+strings.Repeat("]", 300)+"\n]}\n1"), true)
	f.Fuzz(func(t *testing.T, data []byte, last bool) {
		if len(data) > batchSize {
			return
		}
		var sent []byte
		rest := data
		for {
			s := next(rest, last)
			if s.blank < 0 || s.end < s.blank || s.end > len(rest) || (s.lines > 0) != (s.end > s.blank) || s.broken && s.lines != 1 {
				t.Fatalf("%+v of %d bytes", s, len(rest))
			}
			if len(bytes.TrimSpace(rest[:s.blank])) > 0 {
				t.Fatalf("passed over %q", rest[:s.blank])
			}
			if s.end == 0 {
				break
			}
			lines := rest[s.blank:s.end]
			sent = append(sent, rest[:s.end]...)
			rest = rest[s.end:]
			if s.lines == 0 {
				continue
			}
			list := appendList(nil, lines)
			if want := len(listBegin) + len(bytes.TrimSuffix(lines, []byte{'\n'})) + len(listEnd); len(list) != want {
				t.Fatalf("the list has %d bytes, want %d", len(list), want)
			}
			if s.broken {
				continue
			}
			for line := range bytes.Lines(lines) {
				if bytes.HasPrefix(line, eventBegin) && !json.Valid(line) {
					return // nothing that kube-apiserver could have written
				}
			}
			var got items
			var splitter auditevent.Splitter
			if err := splitter.Split("a", bytes.NewReader(list), &got); err != nil || int(got) != s.lines {
				t.Fatalf("%d lines became %d items: %v\n%s", s.lines, got, err, list)
			}
		}
		if last && len(rest) > 0 || bytes.ContainsRune(rest, '\n') {
			t.Fatalf("%q was not sent", rest)
		}
		if !bytes.Equal(append(sent, rest...), data) {
			t.Fatal("something else was sent than what there is")
		}
	})
}
