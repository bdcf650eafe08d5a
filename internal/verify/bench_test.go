package verify_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// BenchmarkValidate reads a folder, as `validate-logs --dir` does: log files of
// real records, compressed as the receiver compresses them. CPU time says
// something on a busy machine too.
func BenchmarkValidate(b *testing.B) {
	for name, size := range map[string]struct {
		hours, files int // an hour
		bytes        int // of each, inflated
	}{
		"5000 files of 64 KiB": {417, 12, 64 << 10},
		"240 files of 1 MiB":   {20, 12, 1 << 20},
		"4 files of 64 MiB":    {4, 1, 64 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			o, raw, compressed := folder(b, size.hours, size.files, size.bytes)
			b.SetBytes(raw)
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				r, err := verify.Run(b.Context(), o)
				if err != nil || !r.Valid || r.LogFiles.Valid != size.hours*size.files {
					b.Fatal(err, r)
				}
			}
			b.ReportMetric(float64(raw)*float64(b.N)/1e6/(cpu(b)-before).Seconds(), "MB/CPU-s")
			b.ReportMetric(float64(raw)/float64(compressed), "ratio")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// folder writes a trail, and returns the sizes of its log files.
func folder(b *testing.B, hours, files, size int) (o verify.Options, raw, compressed int64) {
	b.Helper()
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	store := memory.New(clock.RealClock{})
	tr := verifytest.New(b, store, "audit", start)
	content := logFile(b, size)
	dir := b.TempDir()
	var zipped bytes.Buffer
	zip, err := gzip.NewWriterLevel(&zipped, 2)
	if err != nil {
		b.Fatal(err)
	}
	var last *digest.Output
	for h := range hours {
		in := digest.Input{
			Layout: tr.Layout, Trail: tr.Name, Bucket: "audit", Sequence: int64(h + 1), ChainID: "c", Signer: tr.Key,
			Window: digest.Window{Start: start.Add(time.Duration(h) * time.Hour), End: start.Add(time.Duration(h+1) * time.Hour)},
		}
		if last != nil {
			in.Previous = last.Previous()
		}
		for i := range files {
			n := h*files + i
			closed := in.Window.Start.Add(time.Duration(i*60/files) * time.Minute)
			// Each file begins elsewhere in the same records.
			from := bytes.IndexByte(content[(n*7919)%size:], ',') + (n*7919)%size
			body := content[from : from+size]
			zipped.Reset()
			zip.Reset(&zipped)
			if _, err := zip.Write(body); err != nil {
				b.Fatal(err)
			}
			if err := zip.Close(); err != nil {
				b.Fatal(err)
			}
			key := tr.Layout.LogFile(closed, fmt.Sprintf("%016d", n))
			write(b, dir, key, zipped.Bytes())
			stamp := closed.Format(record.TimeFormat)
			in.Files = append(in.Files, record.DigestLogFile{
				S3Bucket: "audit", S3Object: key, HashValue: record.HexSHA256(body), HashAlgorithm: record.HashAlgorithm,
				OldestEventTime: stamp, NewestEventTime: stamp,
			})
			raw, compressed = raw+int64(size), compressed+int64(zipped.Len())
		}
		out, err := digest.Build(in)
		if err != nil {
			b.Fatal(err)
		}
		write(b, dir, out.Key, out.Compressed)
		last = &out
	}
	for key, o := range store.Objects() { // the public key
		write(b, dir, key, o.Body)
	}
	f, err := verify.OpenFolder(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(f.Close)
	return verify.Options{
		Reader: f, Layout: tr.Layout, Trail: tr.Name, Bucket: "audit", Trust: tr.Keys[0].SHA256,
		Heads: []record.Head{last.Head}, DetachedSignatures: true,
	}, raw, compressed
}

func write(b *testing.B, dir, key string, body []byte) {
	b.Helper()
	path := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		b.Fatal(err)
	}
}

// records takes items and makes records of them.
type records struct {
	mapper *mapping.Mapper
	parser auditevent.Parser
	facts  record.Facts
	bytes  []byte
}

func (r *records) Item(it *auditevent.Item) error {
	e, err := r.parser.Parse(it.Event.AppendStored(nil, false))
	if err != nil {
		return err
	}
	source := mapping.Source{Cluster: testenv.Account, APIServer: testenv.APIServer, Via: "webhook"}
	r.bytes = append(r.mapper.Append(r.bytes, e, source, &r.facts), ',')
	return nil
}

func (*records) Cut([32]byte) error { return nil }

// logFile returns records of Metadata events, at least twice size bytes of them.
func logFile(b *testing.B, size int) []byte {
	b.Helper()
	m, err := mapping.New(mapping.Config{Installation: receiverconfig.Installation{UID: "u", Account: testenv.Account, Region: "test-1"}})
	if err != nil {
		b.Fatal(err)
	}
	r := &records{mapper: m}
	g := testenv.NewEvents(7)
	var s auditevent.Splitter
	for len(r.bytes) < 2*size+4096 {
		if err := s.Split("a/b", bytes.NewReader(g.List(nil, 400)), r); err != nil {
			b.Fatal(err)
		}
	}
	return r.bytes
}
