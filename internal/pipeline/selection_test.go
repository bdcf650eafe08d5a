package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// TestSelectionChangesWithinAGeneration: an EventSelector changes what a trail
// selects while the Trail object stays as it is. The change holds from the tail
// on, is reported once it does, and survives a restart.
func TestSelectionChangesWithinAGeneration(t *testing.T) {
	b := newBench(t)
	red := b.trail("red")
	reads := v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.ReadOnly}}}
	writes := v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly}}}
	inForce := func(want v1alpha1.EventSelection, start uint64) {
		t.Helper()
		if s := b.status("red"); s.SelectionSHA256 != receiverconfig.SelectionSHA256(want) || s.StartPosition != start || s.Generation != 1 {
			t.Errorf("it reports %s from %d on, want %s from %d on", s.SelectionSHA256, s.StartPosition, receiverconfig.SelectionSHA256(want), start)
		}
	}
	red.Selection = writes
	b.apply()
	inForce(writes, 0)
	b.post("red", 2)
	red.Selection = reads
	inForce(writes, 0) // rendered is not yet in force
	b.apply()
	inForce(reads, 1)
	b.post("red", 3) // updates, which are not selected now
	b.stop()
	b.start()
	inForce(reads, 1)
	red.Selection = writes
	b.apply()
	inForce(writes, 2)
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
	if got := b.delivered("red"); !slices.Equal(got, []string{"e-1", "e-2", "e-6"}) {
		t.Errorf("delivered %v", got)
	}
	if c := b.status("red").Counts; c.SelectedOut != 3 {
		t.Errorf("counts %+v", c)
	}
}

// TestRefusedSelectionChangesNothing: what does not compile, such as what a newer
// manager may render, neither selects nothing nor everything: the trail goes on
// with what it had, and says so.
func TestRefusedSelectionChangesNothing(t *testing.T) {
	b := newBench(t)
	red := b.trail("red")
	b.apply()
	before := b.status("red").SelectionSHA256
	red.Selection = v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: "Sideways"}}}
	b.config.Generation++
	if err := b.p.Apply(&b.config, b.trails, b.key); err == nil || !strings.Contains(err.Error(), "red.all: its selection is refused: basic[0].readWriteType") {
		t.Errorf("got %v", err)
	}
	if got := b.status("red").SelectionSHA256; got != before {
		t.Errorf("it reports the selection that it refused")
	}
	b.post("red", 2)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 2 })
}
