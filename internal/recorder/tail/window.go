package tail

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// batchSize is the most that is sent in one POST, in bytes, unless a single line
// is longer; and the most that is held of a file.
const batchSize = 1 << 20

// window is the part of a file that was read and not yet sent.
type window struct {
	file   *logFile
	stream io.Reader
	data   []byte
	start  int64 // offset of data
	head   []byte
	before []byte // up to edge bytes that precede data
	// ended: there is nothing more in the file for now; for a compressed one
	// that is for good. damaged: what follows cannot be read.
	ended, damaged bool
}

// newWindow reads a file from an offset on.
func newWindow(l *logFile, offset int64) (*window, error) {
	head, before, ok, err := l.edges(offset)
	if err == nil && !ok {
		err = errTruncated
	}
	if err != nil {
		return nil, err
	}
	w := &window{file: l, start: offset, head: head, before: before, data: make([]byte, 0, batchSize)}
	w.stream, err = l.from(offset)
	return w, err
}

// end is the offset up to which the file was read.
func (w *window) end() int64 { return w.start + int64(len(w.data)) }

// fill reads until the window is full or nothing more is there.
func (w *window) fill() error {
	w.ended = false
	if err := w.unchanged(); err != nil {
		return err
	}
	for len(w.data) < cap(w.data) {
		n, err := w.stream.Read(w.data[len(w.data):cap(w.data)])
		w.data = w.data[:len(w.data)+n]
		switch {
		case errors.Is(err, errDamaged):
			w.ended, w.damaged = true, true
		case errors.Is(err, io.EOF):
			w.ended = true
		case err != nil:
			return err
		}
		if w.ended {
			break
		}
	}
	if w.start < edge {
		all := min(int64(edge), w.end())
		w.head = append(w.head[:w.start], w.data[:all-w.start]...)
	}
	return nil
}

// unchanged compares what precedes the next byte with what was read there: a
// plain file that was truncated, and perhaps written to again, differs.
func (w *window) unchanged() error {
	if w.file.zipped {
		return nil
	}
	const most = 64
	want := w.data[max(0, len(w.data)-most):]
	if len(w.data) == 0 {
		want = w.before[max(0, len(w.before)-most):]
	}
	var b [most]byte
	got := b[:len(want)]
	n, err := w.file.f.ReadAt(got, w.end()-int64(len(got)))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n < len(got) || !bytes.Equal(got, want) {
		return errTruncated
	}
	return nil
}

// full reports whether the window holds as much as it can.
func (w *window) full() bool { return len(w.data) == cap(w.data) }

// mark returns the mark of the offset n bytes into data.
func (w *window) mark(n int) mark {
	return newMark(w.head[:min(int64(len(w.head)), w.start+int64(n))], preceding(w.before, w.data[:n]))
}

// advance leaves the first n bytes behind.
func (w *window) advance(n int) {
	w.before = preceding(w.before, w.data[:n])
	w.data = w.data[:copy(w.data, w.data[n:])]
	w.start += int64(n)
}

// preceding returns the last bytes, at most edge, of before and b together.
func preceding(before, b []byte) []byte {
	if len(b) >= edge {
		return bytes.Clone(b[len(b)-edge:])
	}
	joined := append(bytes.Clone(before), b...)
	return joined[max(0, len(joined)-edge):]
}

// jump goes on at another offset, which before precedes.
func (w *window) jump(offset int64, before []byte) error {
	stream, err := w.file.from(offset)
	if err != nil {
		return err
	}
	w.stream, w.start, w.before, w.data = stream, offset, before, w.data[:0]
	return nil
}

// span is what comes next in the data: blank bytes to pass over, then lines.
type span struct {
	blank int
	// end is where the lines end; at blank when there are none, or the first one
	// is not complete.
	end   int
	lines int
	// broken: the one line is not valid JSON. It is sent alone, so that the
	// receiver can tell where it ends.
	broken bool
}

// next finds the next lines to send in data, which begins with a line. last says
// that nothing follows data, so that its last line is complete without an end.
func next(data []byte, last bool) (s span) {
	for s.end < len(data) {
		line, rest := data[s.end:], len(data)
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			line, rest = line[:n], s.end+n+1
		} else if !last {
			return s
		}
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			if s.lines > 0 {
				return s
			}
			s.blank, s.end = rest, rest
		case whole(line):
			s.lines++
			s.end = rest
		case s.lines > 0:
			return s
		default:
			return span{blank: s.blank, end: rest, lines: 1, broken: true}
		}
	}
	return s
}

// eventBegin is how kube-apiserver begins each line.
var eventBegin = []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/`)

// whole reports whether a line is JSON that the receiver tells from its
// neighbors. What kube-apiserver has written in one piece is; to look at each
// byte would be half of a tail's work. Lines get damaged when a write is cut
// short, so that the next event goes on in the same line, and when power fails,
// which leaves zeros: both, and all that looks unusual, are checked as a whole.
func whole(line []byte) bool {
	if bytes.HasPrefix(line, eventBegin) && line[len(line)-1] == '}' &&
		bytes.IndexByte(line, 0) < 0 && !bytes.Contains(line[1:], eventBegin) {
		return true
	}
	return auditevent.Valid(line)
}

// The items of a list stand between these.
const (
	listBegin = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`
	listEnd   = "]}\n"
)

// appendList appends the EventList of lines, none of which is blank.
func appendList(dst, lines []byte) []byte {
	dst = append(dst, listBegin...)
	begin := len(dst)
	dst = append(dst, bytes.TrimSuffix(lines, []byte{'\n'})...)
	for b := dst[begin:]; ; {
		n := bytes.IndexByte(b, '\n')
		if n < 0 {
			return append(dst, listEnd...)
		}
		b[n] = ','
		b = b[n+1:]
	}
}

// longLine finds the end of the line at an offset without holding it. ended says
// that the file ends before the line does; before is what precedes the end.
func (l *logFile) longLine(offset int64) (end int64, before []byte, ended bool, err error) {
	r, err := l.from(offset)
	if err != nil {
		return 0, nil, false, err
	}
	for buffer := make([]byte, 64<<10); ; {
		n, err := r.Read(buffer)
		b := buffer[:n]
		i := bytes.IndexByte(b, '\n')
		if i >= 0 {
			b = b[:i+1]
		}
		before = preceding(before, b)
		offset += int64(len(b))
		switch {
		case i >= 0:
			return offset, before, false, nil
		case errors.Is(err, io.EOF), errors.Is(err, errDamaged):
			return offset, before, true, nil
		case err != nil:
			return 0, nil, false, err
		}
	}
}

// sameFile reports whether the file at path is l.
func (l *logFile) sameFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, l.info)
}
