package outbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/deflate"
	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/record"
)

// MaxCompressed closes a file early enough that it stays under CloudTrail's
// limit of 50 MB, whatever one more chunk adds.
const MaxCompressed = 36 << 20

// Writer is a log file that is still open. It is not safe for concurrent use.
type Writer struct {
	fs      FS
	file    File
	path    string
	zip     *deflate.Writer
	raw     hash.Hash
	sent    hash.Hash
	size    int64
	rawSize int64
	count   int64
	oldest  int64
	newest  int64
	opened  time.Time
}

// compressors are the memory of open files.
var compressors = sync.Pool{New: func() any { return deflate.NewWriter() }}

// Create opens a new file in the trail's folder. The name is random: a file
// without an entry is an orphan of a crash.
func Create(fs FS, dir string, now time.Time) (*Writer, error) {
	path := filepath.Join(dir, Unique()+".json.gz")
	f, err := fs.Create(path)
	if err != nil {
		return nil, fmt.Errorf("open a log file: %w", err)
	}
	w := &Writer{fs: fs, file: f, path: path, raw: sha256.New(), sent: sha256.New(), opened: now, zip: compressors.Get().(*deflate.Writer)}
	w.zip.Reset(sink{w})
	if err := w.write([]byte(record.LogFileHead)); err != nil {
		w.Discard()
		return nil, err
	}
	return w, nil
}

// sink counts and hashes the compressed bytes on their way to the file.
type sink struct{ w *Writer }

func (s sink) Write(b []byte) (int, error) {
	n, err := s.w.file.Write(b)
	s.w.size += int64(n)
	s.w.sent.Write(b[:n])
	return n, err
}

// Add appends n records, joined by commas. Their event times, from oldest to
// newest, are in seconds since 1970.
func (w *Writer) Add(records []byte, n int, oldest, newest int64) error {
	if w.count > 0 {
		if err := w.write(comma); err != nil {
			return err
		}
	}
	if err := w.write(records); err != nil {
		return err
	}
	w.rawSize += int64(len(records)) + 1
	if w.count == 0 || oldest < w.oldest {
		w.oldest = oldest
	}
	if w.count == 0 || newest > w.newest {
		w.newest = newest
	}
	w.count += int64(n)
	return nil
}

var comma = []byte{','}

func (w *Writer) write(b []byte) error {
	w.raw.Write(b)
	if _, err := w.zip.Write(b); err != nil {
		return fmt.Errorf("write a log file: %w", err)
	}
	return nil
}

// RawSize is the size of the records so far, in bytes before compression.
func (w *Writer) RawSize() int64 { return w.rawSize }

// Size is the number of compressed bytes that were written so far.
func (w *Writer) Size() int64 { return w.size }

// Opened is when the file was begun.
func (w *Writer) Opened() time.Time { return w.opened }

// Close ends the file and makes it durable: the file, then its folder. The
// entry it returns lacks Seq, Key, Generation and MappingVersion.
func (w *Writer) Close(now time.Time) (Entry, error) {
	if err := w.write([]byte(record.LogFileTail)); err != nil {
		return Entry{}, err
	}
	if err := w.zip.Close(); err != nil {
		return Entry{}, fmt.Errorf("write a log file: %w", err)
	}
	w.release()
	failpoint.Hit("outbox/before-fsync")
	if err := syncAndClose(w.fs, w.file, w.path); err != nil {
		return Entry{}, err
	}
	failpoint.Hit("outbox/after-fsync")
	return Entry{
		File: filepath.Base(w.path), Size: w.size, Count: w.count, Closed: now.UTC(),
		SHA256: hex.EncodeToString(w.sent.Sum(nil)), RawSHA256: hex.EncodeToString(w.raw.Sum(nil)),
		Oldest: time.Unix(w.oldest, 0).UTC(), Newest: time.Unix(w.newest, 0).UTC(),
	}, nil
}

// Discard gives the file up. What it held is read from the spool again.
func (w *Writer) Discard() {
	w.release()
	_ = w.file.Close()
	_ = w.fs.Remove(w.path)
}

func (w *Writer) release() {
	if w.zip == nil {
		return
	}
	w.zip.Reset(io.Discard) // keep no reference to the file
	compressors.Put(w.zip)
	w.zip = nil
}

// WriteFile makes a small file durable in the trail's folder and returns its name.
func WriteFile(fs FS, dir string, content []byte) (string, error) {
	path := filepath.Join(dir, Unique()+".json.gz")
	f, err := fs.Create(path)
	if err != nil {
		return "", fmt.Errorf("open a digest file: %w", err)
	}
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		_ = fs.Remove(path)
		return "", fmt.Errorf("write a digest file: %w", err)
	}
	return filepath.Base(path), syncAndClose(fs, f, path)
}

// syncAndClose makes a file durable: its content, then its name.
func syncAndClose(fs FS, f File, path string) error {
	name := filepath.Base(path)
	if !failpoint.Mutation("outbox-fsync") {
		if err := f.Sync(); err != nil {
			_ = f.Close()
			return fmt.Errorf("sync %s: %w", name, err)
		}
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", name, err)
	}
	if failpoint.Mutation("outbox-dir-fsync") {
		return nil
	}
	if err := fs.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("sync the outbox folder: %w", err)
	}
	return nil
}

const alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Unique returns the 16 random alphanumerics of a log file's name.
func Unique() string {
	var b [16]byte
	for i := range b {
		b[i] = alphanumerics[randomIndex()]
	}
	return string(b[:])
}

// randomIndex draws without bias: bytes beyond the last whole multiple of the
// alphabet are thrown away.
func randomIndex() int {
	var b [1]byte
	for {
		_, _ = rand.Read(b[:]) // never fails since Go 1.24
		if int(b[0]) < 256/len(alphanumerics)*len(alphanumerics) {
			return int(b[0]) % len(alphanumerics)
		}
	}
}
