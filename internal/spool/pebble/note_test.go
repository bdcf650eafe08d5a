package pebble

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// newestLog returns the name of the newest of Pebble's logs.
func newestLog(t *testing.T, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List("spool")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".log") })
	slices.Sort(names)
	return fs.PathJoin("spool", names[len(names)-1])
}

// TestLostTail flips a bit in, or cuts, the newest batches of the log: Pebble
// takes that for a batch that was never written whole. What was acknowledged is
// missed, at its position, and positions are not given out twice.
func TestLostTail(t *testing.T) {
	damage := map[string]func(b []byte) []byte{
		"flipped":           func(b []byte) []byte { b[len(b)-40] ^= 16; return b },
		"cut":               func(b []byte) []byte { return b[:len(b)-40] },
		"zeroed":            func(b []byte) []byte { clear(b[len(b)-60:]); return b },
		"flipped far ahead": func(b []byte) []byte { b[len(b)-1500] ^= 16; return b },
		"empty":             func([]byte) []byte { return nil },
	}
	for name, damage := range damage {
		for _, last := range []string{"a chunk", "state"} {
			t.Run(fmt.Sprintf("%s, %s last", name, last), func(t *testing.T) {
				fs := vfs.NewCrashableMem()
				s := openStore(t, "spool", Options{FS: fs})
				const chunks = 9
				for n := range byte(chunks) {
					if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(n)}); err != nil {
						t.Fatal(err)
					}
				}
				if last == "state" {
					if err := s.Commit(spool.Set("cursor", []byte(strings.Repeat("x", 100)))); err != nil {
						t.Fatal(err)
					}
				}
				s.note.sync()
				fs = fs.CrashClone(vfs.CrashCloneCfg{})
				log := newestLog(t, fs)
				b := readFile(t, fs, log)
				for len(b) > 0 && b[len(b)-1] == 0 { // what was allocated ahead
					b = b[:len(b)-1]
				}
				writeFile(t, fs, log, damage(b))
				for range 2 { // the loss is told again until somebody trims it
					s = openStore(t, "spool", Options{FS: fs})
					good, damaged := readAll(t, s, 0)
					if len(damaged) == 0 || len(good)+len(damaged) < chunks {
						t.Errorf("%d chunks are read and %d are missed, of %d", len(good), len(damaged), chunks)
					}
					if tail := s.Tail(); int(tail) != len(good)+len(damaged) {
						t.Errorf("the tail is at %d, behind %d chunks and %d that are missed", tail, len(good), len(damaged))
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// TestNoFalseLoss: a power loss at any time, and a note that was torn, is old, is
// of another spool or cannot be read, are no losses.
func TestNoFalseLoss(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, fs *vfs.MemFS){
		"nothing": func(*testing.T, *vfs.MemFS) {},
		"torn": func(t *testing.T, fs *vfs.MemFS) {
			b := readFile(t, fs, "spool/"+noteName)
			b[3] ^= 1
			writeFile(t, fs, "spool/"+noteName, b)
		},
		"cut":     func(t *testing.T, fs *vfs.MemFS) { writeFile(t, fs, "spool/"+noteName, []byte("a")) },
		"missing": func(t *testing.T, fs *vfs.MemFS) { _ = fs.Remove("spool/" + noteName) },
		"of another spool": func(t *testing.T, fs *vfs.MemFS) {
			writeFile(t, fs, "spool/"+noteName, acknowledged{groups: 99, last: 99}.append(nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			s := openStore(t, "spool", Options{FS: fs})
			for n := range byte(5) {
				if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(n)}); err != nil {
					t.Fatal(err)
				}
				if n == 2 {
					s.note.sync()
				}
			}
			fs = fs.CrashClone(vfs.CrashCloneCfg{})
			damage(t, fs)
			s = openStore(t, "spool", Options{FS: fs})
			if good, damaged := readAll(t, s, 0); len(good) != 5 || len(damaged) != 0 {
				t.Errorf("read %v, damaged %v", good, damaged)
			}
			if got, err := s.Append(t.Context(), []spool.Chunk{testChunk(9)}); err != nil || got[0].Position != 6 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func FuzzParseAcknowledged(f *testing.F) {
	f.Add(acknowledged{groups: 3, last: 2}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := parseAcknowledged(b); ok && string(a.append(nil)) != string(b[:noteLen]) {
			t.Errorf("%x is read as %+v", b, a)
		}
	})
}
