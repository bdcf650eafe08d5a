package digest

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

var update = flag.Bool("update", false, "write the golden files")

func testKey(t testing.TB) *signing.PrivateKey {
	t.Helper()
	b, err := os.ReadFile("../signing/testdata/signing.key")
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.ParsePEM(b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func logFile(l record.Layout, clock, unique, oldest, newest string) record.DigestLogFile {
	return record.DigestLogFile{
		S3Bucket: "audit", S3Object: l.LogFile(at(clock), unique), HashValue: record.HexSHA256([]byte(unique)),
		HashAlgorithm: record.HashAlgorithm, OldestEventTime: oldest, NewestEventTime: newest,
	}
}

func testInput(t testing.TB) Input {
	layout := record.Layout{Prefix: "shop/all", Account: "123456789012", Region: "eu-lab-1"}
	return Input{
		Layout: layout, Trail: "shop.all", Bucket: "audit",
		Window:   Window{at("10:00:00"), at("11:00:00")},
		Sequence: 2, ChainID: "6f1d2c3b-0000-4000-8000-000000000001",
		Previous: &Previous{
			Bucket: "audit", Object: layout.Digest("shop.all", at("10:00:00")),
			HashValue: record.HexSHA256([]byte("previous")), Signature: "00ff",
		},
		Files: []record.DigestLogFile{
			logFile(layout, "10:05:00", "BBBBBBBBBBBBBBBB", "2026-03-01T09:58:00Z", "2026-03-01T10:04:59Z"),
			logFile(layout, "10:05:00", "AAAAAAAAAAAAAAAA", "2026-03-01T10:01:00Z", "2026-03-01T10:02:00Z"),
			logFile(layout, "10:10:00", "CCCCCCCCCCCCCCCC", "2026-03-01T10:05:00Z", "2026-03-01T10:09:59Z"),
		},
		Signer: testKey(t),
	}
}

func build(t testing.TB, in Input) Output {
	t.Helper()
	out, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGolden(t *testing.T) {
	golden(t, "digest", testInput(t))

	first := testInput(t)
	first.Sequence, first.Previous, first.Files, first.Final = 1, nil, nil, true
	first.Window.End = at("10:12:13")
	first.PreviousChain = &record.ChainEnd{
		ChainID: "6f1d2c3b-0000-4000-8000-000000000000", Bucket: "audit",
		Object: first.Layout.Digest("shop.all", at("08:30:00")), Signature: "00ff",
	}
	golden(t, "digest-first-final", first)

	rules := testInput(t)
	rules.Lifecycle = []record.LifecycleRule{
		{Objects: record.LifecycleLogs, ExpireDays: 365, TransitionDays: 30, StorageClass: "GLACIER"},
		{Objects: record.LifecycleDigests, ExpireDays: 730},
	}
	golden(t, "digest-lifecycle", rules)
}

func golden(t *testing.T, name string, in Input) {
	t.Helper()
	out := build(t, in)
	for file, got := range map[string][]byte{
		name + ".json":           out.Uncompressed,
		name + ".signature.txt":  []byte(out.Signature + "\n"),
		name + ".head.json":      record.MustJSON(out.Head),
		name + ".object-key.txt": []byte(out.Key + "\n"),
	} {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestCompressedIsTheSignedJSON(t *testing.T) {
	out := build(t, testInput(t))
	r, err := gzip.NewReader(bytes.NewReader(out.Compressed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, out.Uncompressed) {
		t.Error("the object is not the JSON that was signed")
	}
	if out.HashValue != record.HexSHA256(got) {
		t.Error("the hash value is not that of the JSON")
	}
}

func TestOrderOfFilesDoesNotMatter(t *testing.T) {
	in := testInput(t)
	want := build(t, in)
	for range 10 {
		rand.Shuffle(len(in.Files), func(i, j int) { in.Files[i], in.Files[j] = in.Files[j], in.Files[i] })
		got := build(t, in)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestChainsAreTied(t *testing.T) {
	in := testInput(t)
	one := build(t, in)
	if diff := cmp.Diff(&Previous{"audit", one.Key, one.HashValue, one.Signature}, one.Previous()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&record.ChainEnd{ChainID: in.ChainID, Bucket: "audit", Object: one.Key, HashValue: one.HashValue, Signature: one.Signature},
		one.ChainEnd()); diff != "" {
		t.Error(diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"no trail":               func(in *Input) { in.Trail = "" },
		"no chain":               func(in *Input) { in.ChainID = "" },
		"empty window":           func(in *Input) { in.Window.End = in.Window.Start },
		"sequence 0":             func(in *Input) { in.Sequence, in.Previous = 0, nil },
		"first with a previous":  func(in *Input) { in.Sequence = 1 },
		"second without one":     func(in *Input) { in.Previous = nil },
		"two kinds of previous":  func(in *Input) { in.PreviousChain = &record.ChainEnd{} },
		"a file listed twice":    func(in *Input) { in.Files[0] = in.Files[1] },
		"a file without times":   func(in *Input) { in.Files[0].NewestEventTime = "" },
		"times in another form":  func(in *Input) { in.Files[0].OldestEventTime = "2026-03-01T10:00:00.5Z" },
		"a bucket without names": func(in *Input) { in.Bucket = "" },
	} {
		in := testInput(t)
		change(&in)
		if _, err := Build(in); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	in := testInput(b)
	in.Files = nil
	for i := range 60 { // an hour of one-minute files
		in.Files = append(in.Files, logFile(in.Layout, fmt.Sprintf("10:%02d:00", i), "AAAAAAAAAAAAAAAA",
			"2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(in); err != nil {
			b.Fatal(err)
		}
	}
}
