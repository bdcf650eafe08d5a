// Package deflate writes gzip files of JSON records (RFC 1951 and 1952). It
// finds in half the time what a general compressor finds, since it knows where
// to look: records have the same members in the same order, so that a value
// that differs is followed, from its closing quote on, by what followed the
// value in the record before. Any other input comes out right too, only less
// small.
package deflate

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	// blockSize is how much of the input is compressed at once.
	blockSize = 128 << 10
	// blocksServed is how many blocks codes are used for again: records are much
	// alike, so that it costs less to look once than to count their symbols.
	blocksServed = 15
	// servedFrom is from which size of the file on, in bytes.
	servedFrom = 4 * blockSize
	// flushSize is how much goes to the file at once: a system call for each block
	// would cost as much as what it writes.
	flushSize = 128 << 10
	// window is how far back deflate can refer.
	window = 32 << 10
)

// header is that of a gzip file without name and time, by an unknown system.
const header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

var errClosed = errors.New("deflate: the writer is closed")

// Writer compresses what is written to it. What comes out depends on the bytes
// alone, not on how they were divided into calls. It is not safe for
// concurrent use.
type Writer struct {
	to   io.Writer
	err  error
	buf  []byte // history, then what is not compressed yet
	from int    // where that begins
	crc  uint32
	size uint32

	find  finder
	codes codes
	// codes are those of a block before and serve so many more, which take at
	// most so many bytes each.
	serves, most int
	out          bitWriter
}

// NewWriter returns a Writer that needs Reset before its first use.
func NewWriter() *Writer {
	return &Writer{buf: make([]byte, 0, window+blockSize), err: errClosed}
}

// Reset begins a new file, which goes to w.
func (w *Writer) Reset(to io.Writer) {
	w.to, w.err = to, nil
	w.buf, w.from = w.buf[:0], 0
	w.crc, w.size = 0, 0
	w.serves = 0
	w.find.reset()
	w.out.reset()
	w.out.bytes = append(w.out.bytes, header...)
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.err != nil {
			return n - len(p), w.err
		}
		part := p[:min(len(p), w.from+blockSize-len(w.buf))]
		w.buf = append(w.buf, part...)
		p = p[len(part):]
		if len(w.buf)-w.from == blockSize {
			w.block(false)
		}
	}
	return n, w.err
}

// Close ends the file. The writer that it goes to stays open.
func (w *Writer) Close() error {
	if w.err == nil {
		w.block(true)
	}
	err := w.err
	w.err = errClosed
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// block compresses what is in the buffer.
func (w *Writer) block(final bool) {
	fresh := w.buf[w.from:]
	w.crc = crc32.Update(w.crc, crc32.IEEETable, fresh)
	w.size += uint32(len(fresh))
	w.compress(final)
	if final {
		w.out.align()
		w.out.bytes = binary.LittleEndian.AppendUint32(w.out.bytes, w.crc)
		w.out.bytes = binary.LittleEndian.AppendUint32(w.out.bytes, w.size)
	}
	if len(w.out.bytes) >= flushSize || final {
		_, w.err = w.to.Write(w.out.bytes)
		w.out.bytes = w.out.bytes[:0]
	}

	keep := min(len(w.buf), window)
	w.find.moved(len(w.buf) - keep)
	w.buf = append(w.buf[:0], w.buf[len(w.buf)-keep:]...)
	w.from = keep
}

// compress writes what is in the buffer as a block.
func (w *Writer) compress(final bool) {
	if w.serves > 0 {
		w.serves--
		at := w.out
		w.codes.writeHeader(&w.out, final)
		w.find.matches(w.buf, w.from, &w.codes, &w.out)
		w.codes.end(&w.out)
		if len(w.out.bytes)-len(at.bytes) <= w.most {
			return
		}
		// Something else has begun: it needs codes of its own.
		w.out.bytes, w.out.acc, w.out.n = w.out.bytes[:len(at.bytes)], at.acc, at.n
	}
	// Of a small file each block has its own.
	reuse := w.size >= servedFrom && len(w.buf)-w.from == blockSize
	w.find.forget()
	w.find.matches(w.buf, w.from, nil, nil)
	w.codes.build(&w.find, reuse)
	before := len(w.out.bytes)
	w.codes.write(&w.out, w.buf, w.from, &w.find, final)
	if w.serves = 0; reuse {
		w.serves, w.most = blocksServed, (len(w.out.bytes)-before)*9/8
	}
}
