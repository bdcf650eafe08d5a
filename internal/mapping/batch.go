package mapping

import (
	"slices"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Batch holds the records of events that follow each other, joined by commas as
// a log file has them. The zero value is empty and ready.
type Batch struct {
	records []byte
	facts   []record.Facts
	ends    []int // of the records

	// What facts refer to.
	text      []byte
	resources []record.FactResource
	scratch   record.Facts
}

// Reset empties the batch. Its memory is used again.
func (b *Batch) Reset() {
	b.records, b.facts, b.ends = b.records[:0], b.facts[:0], b.ends[:0]
	b.text, b.resources = b.text[:0], b.resources[:0]
}

// Grow makes room for records of so many bytes together.
func (b *Batch) Grow(size int) { b.records = slices.Grow(b.records, size) }

// Len is the number of records.
func (b *Batch) Len() int { return len(b.ends) }

// Size is about how much memory the batch takes, in bytes.
func (b *Batch) Size() int { return cap(b.records) + 256*cap(b.facts) + cap(b.text) }

// Facts returns what selectors ask of the i-th record. It lives until Reset.
func (b *Batch) Facts(i int) *record.Facts { return &b.facts[i] }

// Records returns the records from the i-th up to the j-th, without that one.
func (b *Batch) Records(i, j int) []byte { return b.records[b.start(i):b.ends[j-1]] }

func (b *Batch) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.ends[i-1] + 1
}

// Add appends the record of an event.
func (b *Batch) Add(m *Mapper, e *auditevent.Event, source Source) {
	b.begin()
	b.records = m.Append(b.records, e, source, &b.scratch)
	b.end()
}

// AddOwn appends the record of an event of our own.
func (b *Batch) AddOwn(m *Mapper, e *record.OwnEvent) {
	b.begin()
	b.records = m.AppendOwn(b.records, e, &b.scratch)
	b.end()
}

func (b *Batch) begin() {
	if len(b.ends) > 0 {
		b.records = append(b.records, ',')
	}
}

func (b *Batch) end() {
	f := b.scratch
	f.UserARN, f.Namespace = b.keep(f.UserARN), b.keep(f.Namespace)
	at := len(b.resources)
	for _, r := range f.Resources {
		b.resources = append(b.resources, record.FactResource{Type: r.Type, ARN: b.keep(r.ARN)})
	}
	f.Resources = b.resources[at:len(b.resources):len(b.resources)]
	b.facts = append(b.facts, f)
	b.ends = append(b.ends, len(b.records))
}

// keep copies what lives in the memory of a mapper or of a parser.
func (b *Batch) keep(s string) string {
	at := len(b.text)
	b.text = append(b.text, s...)
	return alias(b.text[at:])
}

// Clone returns a mapper that makes the same records, for another goroutine.
func (m *Mapper) Clone() *Mapper {
	return &Mapper{
		installation: m.installation, proxies: m.proxies, kinds: m.kinds,
		calls: map[callKey]*call{}, second: -1 << 63, region: m.region, account: m.account,
	}
}
