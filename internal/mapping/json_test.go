package mapping

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzString(f *testing.F) {
	for _, s := range []string{
		"", "plain", "twelve bytes", `quote " and \ backslash`, "\x00\x1f\x7f", "tab\tline\nreturn\r", "ü€😀", "\xff\xfe", "cut \xf0\x9f\x98",
		"line\u2028separator\u2029", "1234567\"", "12345678\"", "\ufffd", strings.Repeat("a", 100) + "é",
	} {
		f.Add(s, 10)
	}
	f.Add("\xbf", 1)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		b := appendString(nil, s)
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("%q gives %q", s, b)
		}
		for _, c := range b {
			if c < ' ' {
				t.Fatalf("%q gives %q", s, b)
			}
		}
		var got, want string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		std, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(std, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("%q comes back as %q", s, got)
		}
		if limit < 0 || limit > 1<<12 {
			return
		}
		short := cut(s, limit)
		if len(short) > limit || !utf8.ValidString(short) {
			t.Fatalf("cut(%q, %d) = %q", s, limit, short)
		}
		if utf8.ValidString(s) && (!strings.HasPrefix(s, short) || len(s) > limit && len(short) <= limit-utf8.UTFMax) {
			t.Fatalf("cut(%q, %d) = %q", s, limit, short)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1.5", "-1e9", "1E+2", "", "-", "01", "1.", ".5", "1e", "1e+", "nan", "--1", "1-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Trim(s, "0123456789.eE+-") != "" {
			return
		}
		if got, want := isNumber([]byte(s)), json.Valid([]byte(s)); got != want {
			t.Errorf("isNumber(%q) = %v", s, got)
		}
	})
}
