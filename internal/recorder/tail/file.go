package tail

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// edge is how many bytes at the beginning of a file, and before an offset, tell
// it from others.
const edge = 4 << 10

var (
	errTruncated = errors.New("the audit log was truncated while it was read: let kube-apiserver rotate it (--audit-log-maxsize), copytruncate loses events")
	errDamaged   = errors.New("a compressed file of the audit log is damaged")
)

// logFile is an open file of the log. It stays readable when it is renamed,
// compressed or deleted.
type logFile struct {
	f      *os.File
	zipped bool
	info   os.FileInfo
}

func openFile(path string) (*logFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New(path + " is no regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &logFile{f: f, zipped: strings.HasSuffix(path, compressed), info: info}, nil
}

func (l *logFile) close() { _ = l.f.Close() } // was only read

// from returns a reader of the content from an offset. That of a plain file
// goes on when the file has grown.
func (l *logFile) from(offset int64) (io.Reader, error) {
	if !l.zipped {
		return io.NewSectionReader(l.f, offset, math.MaxInt64-offset), nil
	}
	r := &unzipped{source: bufio.NewReaderSize(io.NewSectionReader(l.f, 0, math.MaxInt64), 64<<10)}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return r, nil
}

// unzipped reads a gzip file and says in one way that it is damaged.
type unzipped struct {
	source io.Reader
	r      *gzip.Reader
}

func (u *unzipped) Read(p []byte) (n int, err error) {
	if u.r == nil {
		u.r, err = gzip.NewReader(u.source)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // not even a header
		}
	}
	if err == nil {
		n, err = u.r.Read(p)
	}
	var corrupt flate.CorruptInputError
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) {
		err = errDamaged
	}
	return n, err
}

// mark tells a file by its content, which is the same when it was renamed or
// compressed, while numbers of inodes are used again.
type mark struct {
	Head   string `json:"head"`   // SHA-256 of its first bytes
	Before string `json:"before"` // and of the last ones before an offset
}

func newMark(head, before []byte) mark { return mark{sum(head), sum(before)} }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// edges returns the bytes of which the mark of an offset is made; false when the
// file is shorter.
func (l *logFile) edges(offset int64) (head, before []byte, ok bool, err error) {
	n := min(offset, edge)
	head, before = make([]byte, n), make([]byte, n)
	if ok, err = l.readAt(head, 0); ok {
		ok, err = l.readAt(before, offset-n)
	}
	return head, before, ok, err
}

// has reports whether the mark of an offset is that of the file. The head is
// compared first: most files differ there.
func (l *logFile) has(m mark, offset int64) (bool, error) {
	n := min(offset, edge)
	b := make([]byte, n)
	if ok, err := l.readAt(b, 0); !ok || sum(b) != m.Head {
		return false, err
	}
	ok, err := l.readAt(b, offset-n)
	return ok && sum(b) == m.Before, err
}

// begins reports whether the content begins with head.
func (l *logFile) begins(head []byte) bool {
	b := make([]byte, len(head))
	ok, err := l.readAt(b, 0)
	return ok && err == nil && bytes.Equal(b, head)
}

// readAt fills p with the content from an offset; false when there is less.
func (l *logFile) readAt(p []byte, offset int64) (bool, error) {
	r, err := l.from(offset)
	n := 0
	if err == nil {
		n, err = readFull(r, p)
	}
	if errors.Is(err, errDamaged) {
		err = nil
	}
	return n == len(p), err
}

// readFull reads until p is full or there is nothing more.
func readFull(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
