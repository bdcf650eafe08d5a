package pipeline

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/trail-operator/trail-operator/internal/record"
)

// filesBelow lists the files of a folder.
func filesBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// emptySpool leaves nothing of the spool but the note of what was acknowledged.
func (b *bench) emptySpool() {
	b.t.Helper()
	for _, path := range filesBelow(b.t, b.dir+"/spool") {
		if filepath.Base(path) == "acknowledged" {
			continue
		}
		if err := os.Remove(path); err != nil {
			b.t.Fatal(err)
		}
	}
}

// The files of a trail whose documents are lost stay on the volume: nobody else
// has what they hold.
func TestFilesOfLostStateAreKept(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	b.reachable("red", false)
	b.post("red", 5)
	b.until("a file", func() bool { return b.status("red").PendingFiles > 0 })
	b.stop()
	before := filesBelow(t, b.dir+"/outbox")
	b.emptySpool()
	b.start()
	if after := filesBelow(t, b.dir+"/outbox"); len(before) == 0 || len(after) < len(before) {
		t.Errorf("of the files %v are left %v", before, after)
	}
}

// The reader waits with a loss until there is a configuration: a trail that begins
// anew because of it gets the record, too.
func TestLossWaitsForTheConfiguration(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	b.reachable("red", false)
	b.post("red", 5)
	b.until("a file", func() bool { return b.status("red").PendingFiles > 0 })
	b.stop()
	b.emptySpool()
	trails := b.trails
	b.trails = nil
	b.start()
	polls := 0
	b.until("the reader has looked", func() bool { polls++; return polls > 100 })
	b.trails = trails
	b.apply()
	b.reachable("red", true)
	b.post("red", 1)
	b.until("the record", func() bool { return b.recorded("red", record.EventEventsLost) > 0 })
}
