package disk

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestUnreadableFile: a log file that the volume cannot read for a while is
// delivered when it can. One that stays so is given up, counted and recorded,
// and those behind it are delivered.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	for _, passing := range []bool{true, false} {
		t.Run(fmt.Sprintf("passing=%v", passing), func(t *testing.T) {
			w := newWorld(t, 1)
			w.start()
			var bad atomic.Pointer[string]

			w.reachable(false)
			w.send("red", 3)
			w.until("a file", func() bool { return w.status("red").PendingFiles == 1 })
			w.send("red", 2)
			w.until("another file", func() bool { return w.status("red").PendingFiles == 2 })
			w.volume.setFault(func(s step) error {
				if s.kind != opRead || !strings.HasSuffix(s.path, ".json.gz") {
					return nil
				}
				bad.CompareAndSwap(nil, &s.path)
				if s.path == *bad.Load() {
					return syscall.EIO
				}
				return nil
			})
			w.reachable(true)
			w.until("a failure", func() bool { f := w.status("red").DeliveryError; return bad.Load() != nil && f != nil })
			if passing {
				w.volume.setFault(nil)
				w.promise()
				return
			}
			w.until("the rest", func() bool { return w.status("red").Counts.Delivered >= 2 })
			w.flush()
			if lost := w.missing(w.delivered("red")); len(lost) != 3 {
				t.Errorf("lost are %v, want the three events of the unreadable file", lost)
			}
			if causes := w.losses("red"); len(causes) != 1 || !strings.Contains(causes[0], "OutboxDamaged") {
				t.Errorf("recorded are %v", causes)
			}
			w.valid("red")
		})
	}
}
