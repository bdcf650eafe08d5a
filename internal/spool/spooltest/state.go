package spooltest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func testAppendWithState(t *testing.T, v *Volume) {
	s := open(t, v)
	mustCommit(t, s, spool.Set("gone", []byte("x")))
	got, err := s.Append(t.Context(), []spool.Chunk{chunkN(1)}, spool.Set("mark", []byte("1")), spool.Delete("gone"))
	if err != nil || got[0].Position != 1 {
		t.Fatal(got, err)
	}
	// The documents are written with a duplicate too.
	if _, err := s.Append(t.Context(), []spool.Chunk{chunkN(1)}, spool.Set("mark", []byte("2"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), []spool.Chunk{chunkN(2)}, spool.Expect("mark", nil), spool.Set("mark", []byte("3"))); err == nil {
		t.Error("Append took an Expect operation")
	}
	for range 2 {
		if mark, gone := mustGet(t, s, "mark"), mustGet(t, s, "gone"); string(mark) != "2" || gone != nil || s.Tail() != 1 {
			t.Fatalf("mark %q, gone %q, tail %d", mark, gone, s.Tail())
		}
		s = reopen(t, v, s)
	}
}

func testDocuments(t *testing.T, v *Volume) {
	s := open(t, v)
	if value := mustGet(t, s, "a"); value != nil {
		t.Errorf("a document that is not there is %q", value)
	}
	value := []byte("one")
	mustCommit(t, s, spool.Set("a", value), spool.Set("empty", []byte{}), spool.Set("", []byte("no name")))
	value[0] = 'X'
	got := mustGet(t, s, "a")
	got[1] = 'X'
	for range 2 {
		if got := mustGet(t, s, "a"); string(got) != "one" {
			t.Errorf("a = %q: the document is not a copy", got)
		}
		if got := mustGet(t, s, "empty"); got == nil || len(got) != 0 {
			t.Errorf("an empty document is %#v", got)
		}
		if got := mustGet(t, s, ""); string(got) != "no name" {
			t.Errorf("the document without a name is %q", got)
		}
		s = reopen(t, v, s)
	}
	mustCommit(t, s, spool.Set("a", nil), spool.Delete("empty"), spool.Delete("never"))
	if a, empty := mustGet(t, s, "a"), mustGet(t, s, "empty"); a != nil || empty != nil {
		t.Errorf("deleted documents are %q and %q", a, empty)
	}
	mustCommit(t, s, spool.Set("b", []byte("1")), spool.Delete("b"), spool.Set("b", []byte("2")))
	if got := mustGet(t, s, "b"); string(got) != "2" {
		t.Errorf("the last operation does not win: %q", got)
	}
}

func testScan(t *testing.T, v *Volume) {
	s := open(t, v)
	mustAppend(t, s, chunkN(1))
	for _, key := range []string{"a/2", "a/10", "a/1", "a", "a0", "b/1", "a/\xff\xff", "\xff\xff"} {
		mustCommit(t, s, spool.Set(key, []byte("v "+key)))
	}
	for prefix, want := range map[string][]string{
		"a/":   {"a/1", "a/10", "a/2", "a/\xff\xff"},
		"a/1":  {"a/1", "a/10"},
		"b":    {"b/1"},
		"c":    nil,
		"\xff": {"\xff\xff"},
		"":     {"a", "a/1", "a/10", "a/2", "a/\xff\xff", "a0", "b/1", "\xff\xff"},
	} {
		var got []string
		err := s.Scan(prefix, func(key string, value []byte) error {
			if string(value) != "v "+key {
				t.Errorf("%q = %q", key, value)
			}
			got = append(got, key)
			mustCommit(t, s, spool.Set(key, value)) // allowed while scanning
			_ = mustGet(t, s, key)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("prefix %q: %s", prefix, diff)
		}
	}
	stop := errors.New("stop")
	if err := s.Scan("", func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Scan returned %v", err)
	}
}

func testConflict(t *testing.T, v *Volume) {
	s := open(t, v)
	mustCommit(t, s, spool.Expect("a", nil), spool.Set("a", []byte("1")))
	for _, expect := range [][]byte{nil, {}, []byte("2"), []byte("11")} {
		err := s.Commit(spool.Set("b", []byte("x")), spool.Expect("a", expect), spool.Set("a", []byte("x")))
		if !errors.Is(err, spool.ErrConflict) {
			t.Errorf("Expect %#v of \"1\": %v", expect, err)
		}
	}
	if a, b := mustGet(t, s, "a"), mustGet(t, s, "b"); string(a) != "1" || b != nil {
		t.Errorf("a refused commit left %q and %q", a, b)
	}
	mustCommit(t, s, spool.Expect("a", []byte("1")), spool.Set("a", []byte("2")), spool.Set("empty", []byte{}))
	mustCommit(t, s, spool.Expect("a", []byte("2")), spool.Expect("b", nil), spool.Expect("empty", []byte{}), spool.Delete("a"))
	if err := s.Commit(spool.Expect("empty", nil)); !errors.Is(err, spool.ErrConflict) {
		t.Errorf("an empty document was taken for none: %v", err)
	}
	mustCommit(t, s, spool.Expect("a", nil))
}

// testConflictConcurrent counts with compare-and-set from many callers.
func testConflictConcurrent(t *testing.T, v *Volume) {
	const callers, each = 8, 25
	s := open(t, v)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				for {
					old, err := s.Get("count")
					if err != nil {
						t.Error(err)
						return
					}
					n, _ := strconv.Atoi(string(old))
					err = s.Commit(spool.Expect("count", old), spool.Set("count", []byte(strconv.Itoa(n+1))),
						spool.Set(fmt.Sprintf("by/%d/%d", caller, i), []byte{}))
					if err == nil {
						break
					}
					if !errors.Is(err, spool.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if got := mustGet(t, s, "count"); string(got) != strconv.Itoa(callers*each) {
		t.Errorf("counted %s, want %d", got, callers*each)
	}
}
