package deflate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"
)

// compress writes data in pieces of these sizes, over and over.
func compress(tb testing.TB, w *Writer, data []byte, pieces ...int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w.Reset(&out)
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(pieces) > 0 {
			n = min(n, pieces[i%len(pieces)])
		}
		if got, err := w.Write(data[:n]); got != n || err != nil {
			tb.Fatalf("Write returned %d, %v", got, err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// check decompresses with two readers that are not ours.
func check(tb testing.TB, zipped, want []byte) {
	tb.Helper()
	std, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		tb.Fatal(err)
	}
	other, err := kgzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		tb.Fatal(err)
	}
	for name, r := range map[string]io.Reader{"compress/gzip": std, "klauspost": other} {
		got, err := io.ReadAll(r)
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got, want) {
			tb.Fatalf("%s read %d bytes that are not the %d written", name, len(got), len(want))
		}
	}
}

// inputs are what is hard for one part or another.
func inputs() map[string][]byte {
	random := make([]byte, 3*blockSize+7)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(random)
	// Counts like Fibonacci's numbers make the longest codes.
	var skewed []byte
	for i, a, b := 0, 1, 1; i < 24; i, a, b = i+1, b, a+b {
		skewed = append(skewed, bytes.Repeat([]byte{byte(i + 'A')}, a)...)
	}
	hex := make([]byte, 2*blockSize)
	for i := range hex {
		hex[i] = "0123456789abcdef"[random[i]%16]
	}
	far := append(bytes.Clone(random[:window]), random[:window]...)
	return map[string][]byte{
		"nothing":                  nil,
		"one byte":                 []byte("x"),
		"shorter than a word":      []byte(`{"a":1}`),
		"one letter":               bytes.Repeat([]byte("a"), 5*blockSize+3),
		"quotes":                   bytes.Repeat([]byte(`"`), blockSize+1),
		"random":                   random,
		"skewed counts":            skewed,
		"random hex":               hex,
		"a match at the window":    far,
		"just out of reach":        append(append(bytes.Clone(random[:window]), 'x'), random[:window]...),
		"a block":                  hex[:blockSize],
		"a block and a byte":       hex[:blockSize+1],
		"quotes that none follows": hostile(),
		"all bytes":                []byte(strings.Repeat(string(random[:256]), 40)),
		"matches of all lengths": func() (b []byte) {
			for n := range 600 {
				b = append(append(b, ' ', byte(n), byte(n>>8)), bytes.Repeat([]byte("q"), n)...)
			}
			return b
		}(),
	}
}

// hostile asks again and again for a quote, which is far away in history.
func hostile() []byte {
	return []byte(`"abcdefg1` + strings.Repeat("x", window/2) + `"abcdefg2` + strings.Repeat("\"\x01", window/8))
}

func TestWriter(t *testing.T) {
	w := NewWriter()
	for name, data := range inputs() {
		t.Run(name, func(t *testing.T) {
			zipped := compress(t, w, data)
			check(t, zipped, data)
			if most := len(data) + len(data)/256 + 400; len(zipped) > most {
				t.Errorf("%d bytes became %d, more than %d", len(data), len(zipped), most)
			}
			if again := compress(t, w, data, 1, 7, blockSize-1, 3000); !bytes.Equal(again, zipped) {
				t.Error("other pieces give other bytes")
			}
		})
	}
}

// FuzzWriter: any input comes out again.
func FuzzWriter(f *testing.F) {
	for _, data := range inputs() {
		f.Add(data[:min(len(data), 4096)], uint16(100))
	}
	w := NewWriter()
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		check(t, compress(t, w, data, int(piece)+1), data)
	})
}

// TestRecords: things like records, repeated and changed, over several blocks.
func TestRecords(t *testing.T) {
	w := NewWriter()
	rapid.Check(t, func(rt *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9:/"\\{}é -]{0,40}`), 1, 40).Draw(rt, "words")
		order := rapid.SliceOfN(rapid.IntRange(0, len(words)-1), 1, 60).Draw(rt, "order")
		times := rapid.IntRange(1, 400).Draw(rt, "times")
		var data []byte
		for i := range times {
			for _, o := range order {
				data = append(data, words[(o+i*i%7)%len(words)]...)
			}
		}
		check(t, compress(t, w, data, rapid.IntRange(1, 2*blockSize).Draw(rt, "piece")), data)
	})
}

// TestLongFile passes the point at which positions begin anew.
func TestLongFile(t *testing.T) {
	w := NewWriter()
	var out bytes.Buffer
	w.Reset(&out)
	w.find.base = 1<<30 - blockSize
	data := bytes.Repeat([]byte(`{"verb":"get","user":"ann"}`), blockSize)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.find.base >= 1<<30 {
		t.Fatalf("the positions went on to %d", w.find.base)
	}
	check(t, out.Bytes(), data)
}

type broken struct{}

var errBroken = errors.New("no space")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestErrors(t *testing.T) {
	w := NewWriter()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a Writer without a file took something")
	}
	w.Reset(broken{})
	random := make([]byte, flushSize+blockSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	if _, err := w.Write(random); !errors.Is(err, errBroken) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errBroken) {
		t.Errorf("Close: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a closed Writer took something")
	}
	check(t, compress(t, w, []byte("again")), []byte("again"))
}
