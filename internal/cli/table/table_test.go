package table

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

var sample = Table{
	Header: []string{"NAME", "READY", "NOTE"},
	Rows: [][]Cell{
		{Text("größer"), {"True", Good}, Text("x")},
		{Text("a"), {"False", Bad}, Text("\x1b[2Jbad\r\n\u202e")},
		{Text("b"), {"Unknown", Doubtful}, {}},
	},
}

func write(t *testing.T, table Table, colors bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := table.Write(&b, colors); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	const want = "NAME     READY     NOTE\n" +
		"größer   True      x\n" +
		"a        False     �[2Jbad���\n" +
		"b        Unknown   -\n"
	plain := write(t, sample, false)
	if plain != want {
		t.Errorf("got\n%s", plain)
	}
	colored := write(t, sample, true)
	if !strings.Contains(colored, "\x1b[31mFalse\x1b[0m") || !strings.Contains(colored, "\x1b[32mTrue\x1b[0m") {
		t.Errorf("no colors in %q", colored)
	}
	if got := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(colored); got != want {
		t.Errorf("colors change the columns:\n%s", got)
	}
	if got := write(t, Table{Rows: sample.Rows[:1]}, false); got != "größer   True   x\n" {
		t.Errorf("without a header: %q", got)
	}
}

func TestColorsNeedATerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Colors(f) || Colors(&bytes.Buffer{}) {
		t.Error("colors for a file")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 12_345_678: "11.8 MiB",
		5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
