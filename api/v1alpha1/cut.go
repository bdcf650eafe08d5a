package v1alpha1

import "strings"

// MaxNote is what an Event holds, in bytes.
const MaxNote = 1024

// Cut shortens s to n bytes, at a character, for a field that holds no more. What
// is cut ends with three dots. What is no UTF-8 is left out: encoded, it would be
// longer.
func Cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:max(n-3, 0)], "") + "..."[:min(n, 3)]
}
