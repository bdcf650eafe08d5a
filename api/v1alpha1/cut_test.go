package v1alpha1

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCut(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		n    int
		want string
	}{
		"short":           {"short", 5, "short"},
		"long":            {"longer", 5, "lo..."},
		"at a character":  {"ääää", 6, "ä..."},
		"within one":      {"€€€€", 8, "€..."},
		"no room":         {"long", 2, ".."},
		"nothing":         {"long", 0, ""},
		"not UTF-8":       {"a\xffb", 9, "ab"},
		"not UTF-8, long": {strings.Repeat("\xff", 9) + "ab", 4, "ab"},
	} {
		if got := Cut(tc.in, tc.n); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// TestCutOnTheWire: JSON makes three bytes of each that is no UTF-8, and API
// servers count these.
func TestCutOnTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "characters")
		raw, err := json.Marshal(Cut(in, n))
		var sent string
		if err != nil || json.Unmarshal(raw, &sent) != nil || len(sent) > n {
			t.Fatalf("%q has %d bytes, at most %d are taken", sent, len(sent), n)
		}
	})
}
