package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if st, err := s.load(); st != nil || err != nil {
		t.Fatalf("a new folder has %+v, %v", st, err)
	}
	want := &state{
		Version: stateVersion, Source: uuid.NewString(), Sequence: 3, Offset: 10, To: 20, Mark: newMark([]byte("a"), []byte("b")),
		Read: []string{"a.log"}, Waiting: []string{"b.log"},
	}
	if err := s.save(want); err != nil {
		t.Fatal(err)
	}
	// A write that was cut short is not the state.
	if err := os.WriteFile(filepath.Join(dir, stateFile+".new"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := s.load()
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Error(err, d)
	}
}

func TestStoreRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ content, says string }{
		"nothing":         {"", "delete it"},
		"no JSON":         {"x", "delete it"},
		"too much":        {strings.Repeat(" ", maxState) + "{}", "delete it"},
		"another version": {`{"version":2}`, "version 2"},
		"no source":       {`{"version":1}`, "damaged"},
		"backwards":       {`{"version":1,"source":"00000000-0000-4000-8000-000000000000","offset":5,"to":4}`, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.close() }()
			if st, err := s.load(); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}
