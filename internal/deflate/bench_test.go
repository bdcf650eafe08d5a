package deflate

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// records takes items and makes records of them, divided by commas.
type records struct {
	mapper *mapping.Mapper
	parser auditevent.Parser
	facts  record.Facts
	n      int
	bytes  []byte
}

func (r *records) Item(it *auditevent.Item) error {
	e, err := r.parser.Parse(it.Event.AppendStored(nil, false))
	if err != nil {
		return err
	}
	source := mapping.Source{Cluster: testenv.Account, APIServer: testenv.APIServer, Via: "webhook"}
	r.bytes = append(r.mapper.Append(r.bytes, e, source, &r.facts), ',')
	r.n++
	return nil
}

func (*records) Cut([32]byte) error { return nil }

// newRecords maps EventLists.
func newRecords(tb testing.TB, lists ...[]byte) *records {
	tb.Helper()
	m, err := mapping.New(mapping.Config{Installation: receiverconfig.Installation{UID: "u", Account: testenv.Account, Region: "test-1"}})
	if err != nil {
		tb.Fatal(err)
	}
	r := &records{mapper: m}
	var s auditevent.Splitter
	for _, l := range lists {
		if err := s.Split("a/b", bytes.NewReader(l), r); err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

// generated are the records of lists of 400 events.
func generated(tb testing.TB, body, lists int) *records {
	tb.Helper()
	g := testenv.NewEvents(7)
	g.Body = body
	var all [][]byte
	for range lists {
		all = append(all, g.List(nil, 400))
	}
	return newRecords(tb, all...)
}

// BenchmarkWriter compares with the library that this package stands in for.
func BenchmarkWriter(b *testing.B) {
	for name, body := range map[string]int{"Metadata": 0, "Request": 5000} {
		r := generated(b, body, 10)
		type writer interface {
			io.WriteCloser
			Reset(w io.Writer)
		}
		zip, err := gzip.NewWriterLevel(io.Discard, 2)
		if err != nil {
			b.Fatal(err)
		}
		for kind, w := range map[string]writer{"ours": NewWriter(), "klauspost-2": zip} {
			b.Run(fmt.Sprintf("%s/%s", name, kind), func(b *testing.B) {
				b.ReportAllocs()
				var size counter
				before := cpu()
				for b.Loop() {
					size = 0
					w.Reset(&size)
					for p := r.bytes; len(p) > 0; {
						n := min(64<<10, len(p))
						if _, err := w.Write(p[:n]); err != nil {
							b.Fatal(err)
						}
						p = p[n:]
					}
					if err := w.Close(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N*r.n), "cpu-ns/record")
				b.ReportMetric(float64(size)/float64(r.n), "bytes/record")
			})
		}
	}
}

// cpu is the CPU time that the process has taken: other than the time on the
// clock it says something on a busy machine too.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHostile is linear too.
func BenchmarkHostile(b *testing.B) {
	data := hostile()
	w := NewWriter()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		w.Reset(io.Discard)
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// counter counts bytes.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// TestRealRecords compares sizes with the library's, on what a real
// kube-apiserver and a kubelet sent.
func TestRealRecords(t *testing.T) {
	paths, err := filepath.Glob("../auditevent/testdata/eventlists/*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captured events: %v", err)
	}
	var lists [][]byte
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, b)
	}
	r := newRecords(t, lists...)
	zipped := compress(t, NewWriter(), r.bytes)
	check(t, zipped, r.bytes)
	var other bytes.Buffer
	zip, err := gzip.NewWriterLevel(&other, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zip.Write(r.bytes); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records, %d bytes: %d here, %d by the library", r.n, len(r.bytes), len(zipped), other.Len())
	if len(zipped) > other.Len()*105/100 {
		t.Errorf("%d bytes, more than 5 %% above the library's %d", len(zipped), other.Len())
	}
}
