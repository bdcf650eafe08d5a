package receiver

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

// TestVolumeOfANewerReceiver is not touched, and the reason says what to do.
func TestVolumeOfANewerReceiver(t *testing.T) {
	for name, tc := range map[string]struct{ format, want string }{
		"new volume":        {"", ""},
		"this format":       {"1", ""},
		"a newer format":    {"2", "written by a newer receiver, in format 2"},
		"no format at all":  {"one", "cannot be read"},
		"an earlier than 1": {"0", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			open := func() spool.Spool {
				s, err := pebble.Open(filepath.Join(dir, "spool"), pebble.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			if tc.format != "" {
				s := open()
				if err := s.Commit(spool.Set("format", []byte(tc.format))); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			r, err := New(Options{
				DataDir: dir, ReserveBytes: receiverconfig.MinReserveBytes, TrailQuota: 1 << 30,
				Open: minio.New, Clock: clock.RealClock{}, Log: logr.Discard(),
			})
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v, want %q", err, tc.want)
				}
			} else if err != nil {
				t.Error(err)
			}
			if r != nil {
				if err := r.spool.Close(); err != nil {
					t.Error(err)
				}
			}
			s := open()
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			want := tc.format
			if want == "" {
				want = "1"
			}
			if raw, err := s.Get("format"); err != nil || string(raw) != want {
				t.Errorf("the volume is of format %q, %v", raw, err)
			}
		})
	}
}
