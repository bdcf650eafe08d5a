package outbox_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/internal/outbox"
)

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// What a writer says of its file is true of the file, whatever was added.
func TestWriter(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, 4e9), 1, 300).Draw(t, "event times")
		pad := rapid.IntRange(0, 3000).Draw(t, "padding")
		opened := time.Unix(1_700_000_000, 0)
		w, err := outbox.Create(outbox.OS{}, dir, opened)
		if err != nil {
			t.Fatal(err)
		}
		oldest, newest := times[0], times[0]
		for i, at := range times {
			if err := w.Add(fmt.Appendf(nil, `{"n":%d,"pad":%q}`, i, bytes.Repeat([]byte("x"), pad)), 1, at, at); err != nil {
				t.Fatal(err)
			}
			oldest, newest = min(oldest, at), max(newest, at)
		}
		e, err := w.Close(opened.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		sent, err := os.ReadFile(filepath.Join(dir, e.File))
		if err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(zip)
		if err != nil {
			t.Fatal(err)
		}
		if e.Size != int64(len(sent)) || e.SHA256 != hexSum(sent) || e.RawSHA256 != hexSum(raw) {
			t.Fatalf("the entry does not describe the file: %+v", e)
		}
		if e.Count != int64(len(times)) || e.Oldest.Unix() != oldest || e.Newest.Unix() != newest {
			t.Fatalf("the entry does not describe the records: %+v", e)
		}
		var f struct{ Records []struct{ N int } }
		if err := json.Unmarshal(raw, &f); err != nil {
			t.Fatal(err)
		}
		for i, r := range f.Records {
			if r.N != i || len(f.Records) != len(times) {
				t.Fatalf("record %d of %d is number %d", i, len(f.Records), r.N)
			}
		}
	})
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := outbox.Create(outbox.OS{}, dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add([]byte("{}"), 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	w.Discard()
	if names, err := (outbox.OS{}).List(dir); err != nil || len(names) != 0 {
		t.Errorf("%v %v is left", names, err)
	}
}

func TestPrepareRemovesOrphansOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool", "trail")
	if err := outbox.Prepare(outbox.OS{}, dir, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	kept, err := outbox.WriteFile(outbox.OS{}, dir, []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outbox.WriteFile(outbox.OS{}, dir, []byte("orphan")); err != nil {
		t.Fatal(err)
	}
	if err := outbox.Prepare(outbox.OS{}, dir, func(name string) bool { return name == kept }); err != nil {
		t.Fatal(err)
	}
	if names, err := (outbox.OS{}).List(dir); err != nil || len(names) != 1 || names[0] != kept {
		t.Errorf("%v %v is left, want %s", names, err, kept)
	}
}

func TestRemoveOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	if removed, err := outbox.RemoveOthers(outbox.OS{}, dir, "now"); err != nil || len(removed) != 0 {
		t.Errorf("%v %v of no folder", removed, err)
	}
	for _, spool := range []string{"now", "before"} {
		if err := outbox.Prepare(outbox.OS{}, filepath.Join(dir, spool, "trail"), func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := outbox.RemoveOthers(outbox.OS{}, dir, "now"); err != nil || len(removed) != 1 || removed[0] != "before" {
		t.Errorf("%v %v were removed", removed, err)
	}
	if names, err := (outbox.OS{}).List(dir); err != nil || len(names) != 1 || names[0] != "now" {
		t.Errorf("%v %v is left", names, err)
	}
}

func TestUnique(t *testing.T) {
	form, seen := regexp.MustCompile(`^[0-9A-Za-z]{16}$`), map[string]bool{}
	for range 1000 {
		u := outbox.Unique()
		if !form.MatchString(u) || seen[u] {
			t.Fatalf("%q is not unique, or not 16 alphanumerics", u)
		}
		seen[u] = true
	}
}
