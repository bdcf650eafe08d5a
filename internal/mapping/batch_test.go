package mapping

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
)

// collecting appends the records of a list one by one, and as a batch.
type collecting struct {
	one, other *Mapper
	records    []string
	facts      []record.Facts
	batch      Batch
}

func (c *collecting) Item(it *auditevent.Item) error {
	src := Source{Cluster: "123456789012", APIServer: "cp-1", Via: "webhook"}
	var f record.Facts
	c.records = append(c.records, string(c.one.Append(nil, it.Event, src, &f)))
	c.facts = append(c.facts, record.Facts{EventName: f.EventName, EventTime: f.EventTime, ReadOnly: f.ReadOnly, Category: f.Category})
	c.batch.Add(c.other, it.Event, src)
	return nil
}

func (*collecting) Cut([32]byte) error { return nil }

// A batch of a cloned mapper holds what the mapper makes of each event alone.
func TestBatch(t *testing.T) {
	paths, err := filepath.Glob("../auditevent/testdata/eventlists/*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captured events: %v", err)
	}
	m := newMapper(t)
	c := collecting{one: m, other: m.Clone()}
	var splitter auditevent.Splitter
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := splitter.Split("a/b", f, &c); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		n := len(c.records)
		if c.batch.Len() != n || n == 0 {
			t.Fatalf("%d records, want %d", c.batch.Len(), n)
		}
		for i, want := range c.records {
			f := c.batch.Facts(i)
			got := record.Facts{EventName: f.EventName, EventTime: f.EventTime, ReadOnly: f.ReadOnly, Category: f.Category}
			if diff := cmp.Diff(want, string(c.batch.Records(i, i+1))) + cmp.Diff(c.facts[i], got); diff != "" {
				t.Fatal(diff)
			}
		}
		if got := string(c.batch.Records(0, 2)); got != c.records[0]+","+c.records[1] {
			t.Errorf("joined: %s", got)
		}
		c.records, c.facts = nil, nil
		c.batch.Reset()
	}
}
