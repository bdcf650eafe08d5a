package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

func list(t *testing.T, s objectstore.Store, prefix, startAfter string) []string {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), prefix, startAfter) {
		if err != nil {
			t.Fatalf("listing %q after %q: %v", prefix, startAfter, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// testKeys stores keys that are easily damaged in a URL, a header or an XML
// document.
func testKeys(t *testing.T, s objectstore.Store) {
	keys := []string{
		"a b", "a+b", "a%20b", "a=b&c", "a;b", "a,b", "a'b(c)", "a<b>", "a~b_c.d-e", "ä/ö/日本", "a:b@c", "a#b", "a*b!", "a?b",
	}
	for _, key := range keys {
		mustCreate(t, s, key, []byte(key))
		if got := read(t, s, key); string(got) != key {
			t.Errorf("%q came back as %q", key, got)
		}
		info, err := s.Head(t.Context(), key)
		if err != nil || info.Key != key {
			t.Errorf("head of %q: %+v, %v", key, info, err)
		}
	}
	slices.Sort(keys)
	if diff := cmp.Diff(keys, list(t, s, "", "")); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func testList(t *testing.T, s objectstore.Store) {
	if got := list(t, s, "", ""); got != nil {
		t.Errorf("an empty bucket lists %q", got)
	}
	// In the order of their bytes: '-' and '.' come before '/', which a server
	// that walks folders easily gets wrong.
	keys := []string{
		"logs-old/1", "logs.d/1", "logs/2025/12/31/z", "logs/2026/01/01/a", "logs/2026/01/01/b", "logs/2026/01/02/a", "logs0", "other",
	}
	for _, i := range []int{3, 0, 7, 5, 1, 6, 2, 4} {
		mustCreate(t, s, keys[i], []byte("x"))
	}
	for _, tc := range []struct {
		prefix, startAfter string
		want               []string
	}{
		{"", "", keys},
		{"logs", "", keys[:7]},
		{"logs/", "", keys[2:6]},
		{"logs/2026/01/0", "", keys[3:6]},
		{"logs/2026/01/01/a", "", keys[3:4]},
		{"none/", "", nil},
		{"", "logs.d/1", keys[2:]},
		{"", "logs.d/0", keys[1:]},
		{"", "logs/2026/01/01/b", keys[5:]},
		{"logs/", "logs/2026/01/01/a", keys[4:6]},
		{"logs/", "logs/2026/01/01/aa", keys[4:6]}, // which does not exist
		{"logs/", "logs/2026/01/02/a", nil},
		{"logs/", "logs-old/1", keys[2:6]},
		{"logs/", "other", nil},
	} {
		if diff := cmp.Diff(tc.want, list(t, s, tc.prefix, tc.startAfter)); diff != "" {
			t.Errorf("prefix %q, after %q (-want +got):\n%s", tc.prefix, tc.startAfter, diff)
		}
	}
	for _, err := range s.List(t.Context(), "", "") { // a caller may stop early
		if err != nil {
			t.Error(err)
		}
		break
	}
}

// testListPages lists more than a server answers at once.
func testListPages(t *testing.T, s objectstore.Store) {
	const objects, writers = 1010, 8
	want := make([]string, objects)
	for i := range want {
		want[i] = fmt.Sprintf("pages/%d/%04d", i/100, i)
	}
	slices.Sort(want)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < objects; i += writers {
				if err := create(t, s, want[i], []byte{}); err != nil {
					t.Errorf("creating %s: %v", want[i], err)
					return
				}
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(want, list(t, s, "pages/", "")); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	after := strings.Replace(want[4], "0004", "0004x", 1)
	if diff := cmp.Diff(want[5:], list(t, s, "pages/", after)); diff != "" {
		t.Errorf("List after %q (-want +got):\n%s", after, diff)
	}
}
