package auditevent

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"github.com/minio/highwayhash"
)

const (
	// maxItem is the size in bytes beyond which an item is reduced. It is also
	// the most that is buffered of a body.
	maxItem = 1 << 20
	// ChunkSize is the most that the items of a chunk take, in bytes.
	ChunkSize = 4 << 20
	// bufferSize is what the buffer begins with.
	bufferSize = 256 << 10
	// headSize is what is kept of an item that cannot become a record: all of
	// almost every one.
	headSize = 256 << 10
)

// Reasons why a body, or the rest of it, cannot be read.
var (
	errList   = errors.New("body is not an audit.k8s.io/v1 EventList")
	errBroken = errors.New("body is not valid JSON")
	errEnds   = errors.New("body ends in the middle of its JSON")
	errHeader = errors.New("body has no items within its first MiB")
	errLarge  = errors.New("item is too large even without its bodies")
)

// ReadError is returned by Split when the body could not be read to its end.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read the body: " + e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// Item is one item of a body, or, after what cannot be read, all the rest.
type Item struct {
	// Event is nil when the item cannot become a record.
	Event *Event
	// Err says why it cannot, without quoting it. Length is that of the item in
	// bytes, Sum its SHA-256, and Head its beginning.
	Err    error
	Length int64
	Sum    [sha256.Size]byte
	Head   []byte
}

// Visitor takes the items of a body in their order.
type Visitor interface {
	// Item is valid until it returns.
	Item(*Item) error
	// Cut is called after the last item of each chunk. id is the hash, with the
	// splitter's key, of the source and of the bytes of the body from the end of
	// the chunk before.
	Cut(id [32]byte) error
}

// Splitter cuts bodies into items, and items into chunks, with memory that
// does not grow with the body. What it passes on depends on the body alone,
// not on how it arrives. It is not safe for concurrent use; the zero value is
// ready.
type Splitter struct {
	// Key is what IDs of chunks depend on. Who does not know it cannot make two
	// chunks with one ID. It must not change after the first Split.
	Key [highwayhash.Size]byte

	parser   Parser
	reducer  reducer
	envelope envelope

	source  io.Reader
	visitor Visitor
	prefix  []byte

	buffer   []byte
	pos, end int   // buffer[pos:end] is to be read
	hashed   int   // buffer[hashed:pos] is not in stretch yet
	err      error // of source

	stretch  hash.Hash
	kept     int // bytes of the items of the chunk
	items    int // of the chunk
	rejected hash.Hash
	item     Item
}

// Split reads an EventList from r, which came from the named source. It
// returns a *ReadError, or the error of the visitor.
func (s *Splitter) Split(source string, r io.Reader, v Visitor) error {
	s.reset(source, r, v)
	defer s.release()
	if err := s.list(); err != nil {
		return err
	}
	if s.items == 0 {
		return nil
	}
	return s.cut()
}

func (s *Splitter) reset(source string, r io.Reader, v Visitor) {
	if s.stretch == nil {
		stretch, err := highwayhash.New(s.Key[:])
		if err != nil {
			panic("auditevent: " + err.Error()) // the size of the key is a constant
		}
		s.stretch, s.rejected = stretch, sha256.New()
	}
	if s.buffer == nil {
		s.buffer = make([]byte, bufferSize)
	}
	s.source, s.visitor = r, v
	s.prefix = append(binary.AppendUvarint(s.prefix[:0], uint64(len(source))), source...)
	s.pos, s.end, s.hashed, s.err = 0, 0, 0, nil
	s.kept, s.items = 0, 0
	s.envelope = envelope{}
	s.stretch.Reset()
	s.stretch.Write(s.prefix)
}

// release forgets the body, and the memory that a large one took.
func (s *Splitter) release() {
	s.source, s.visitor = nil, nil
	s.item = Item{}
	if len(s.buffer) > bufferSize {
		s.buffer = nil
	}
	s.parser.reset()
	s.reducer.reset()
}

// list reads the body to its end.
func (s *Splitter) list() error {
	for {
		n, at, err := s.members()
		if err != nil {
			return s.rest(err)
		}
		s.pos += n
		if at == atEnd {
			break
		}
		if ok, err := s.elements(); err != nil || !ok {
			return err
		}
	}
	if _, ok := s.peek(); ok {
		return s.rest(errBroken)
	}
	return s.readError()
}

// members reads the members of the list up to its items or its end.
func (s *Splitter) members() (n int, at place, err error) {
	for {
		next := s.envelope
		n, at, r := next.read(s.buffer[s.pos:s.end])
		switch {
		case r == scanned && next.wrong:
			return 0, at, errList
		case r == scanned:
			s.envelope = next
			return n, at, nil
		case r != short:
			return 0, at, errBroken
		case !s.fill():
			if s.err == nil {
				return 0, at, errHeader
			}
			return 0, at, errEnds
		}
	}
}

// elements reads the items up to the closing bracket. It reports false when
// the body was read to its end instead.
func (s *Splitter) elements() (bool, error) {
	for first := true; ; first = false {
		c, ok := s.peek()
		if ok && c == ']' {
			s.pos++
			return true, nil
		}
		if ok && !first {
			if c != ',' {
				return false, s.rest(errBroken)
			}
			s.pos++
			c, ok = s.peek()
		}
		switch {
		case !ok:
			return false, s.rest(errEnds)
		case c == ',' || c == ']' || c == '}':
			return false, s.rest(errBroken)
		}
		if ok, err := s.element(); err != nil || !ok {
			return false, err
		}
	}
}

// element reads one item.
func (s *Splitter) element() (bool, error) {
	for {
		end, r, err := s.parser.head(s.buffer[:s.end], s.pos)
		switch r {
		case scanned:
			raw := s.buffer[s.pos:end]
			s.pos = end
			if err != nil {
				s.item = Item{Err: err, Length: int64(len(raw)), Sum: sha256.Sum256(raw), Head: raw[:min(len(raw), headSize)]}
				return true, s.emit(len(raw))
			}
			s.parser.parts()
			s.item = Item{Event: &s.parser.event}
			return true, s.emit(len(raw))
		case short:
			if s.fill() {
				continue
			}
			if s.err != nil {
				return false, s.rest(errEnds)
			}
			return s.stream(errLarge, true)
		case deep:
			return s.stream(errDeep, true)
		default:
			return s.stream(errSyntax, false)
		}
	}
}

// stream reads one item that is not in the buffer as a whole, or is not valid.
// An object is reduced if that can help; why is what to say otherwise.
func (s *Splitter) stream(why error, reduce bool) (bool, error) {
	var skip skipper
	feed := skip.feed
	reduce = reduce && s.buffer[s.pos] == '{'
	if reduce {
		s.reducer.reset()
		feed = s.reducer.feed
	}
	s.reject(why)
	for done := false; !done; {
		if s.pos == s.end && !s.fill() {
			if !errors.Is(s.err, io.EOF) {
				return false, s.readError()
			}
			s.item.Err = errEnds
			return false, s.emitRejected()
		}
		var n int
		n, done = feed(s.buffer[s.pos:s.end])
		s.rejectBytes(n)
	}
	if !reduce {
		return true, s.emitRejected()
	}
	out := s.reducer.result()
	end, r, err := s.parser.head(out, 0)
	switch {
	case out == nil:
	case r == deep:
		s.item.Err = errDeep
	case r != scanned || end != len(out):
		s.item.Err = errSyntax
	case err != nil:
		s.item.Err = err
	default:
		s.parser.parts()
		s.item = Item{Event: &s.parser.event}
		return true, s.emit(len(out))
	}
	return true, s.emitRejected()
}

// rest reads all that follows as one item that cannot become a record.
func (s *Splitter) rest(why error) error {
	s.reject(why)
	for s.rejectBytes(s.end - s.pos); s.fill(); {
		s.rejectBytes(s.end - s.pos)
	}
	if err := s.readError(); err != nil {
		return err
	}
	return s.emitRejected()
}

// reject begins an item that probably cannot become a record.
func (s *Splitter) reject(why error) {
	s.item = Item{Err: why}
	s.rejected.Reset()
}

// rejectBytes adds the next n bytes to it.
func (s *Splitter) rejectBytes(n int) {
	b := s.buffer[s.pos : s.pos+n]
	s.rejected.Write(b)
	s.item.Length += int64(n)
	s.item.Head = append(s.item.Head, b[:min(n, headSize-len(s.item.Head))]...)
	s.pos += n
}

func (s *Splitter) emitRejected() error {
	s.rejected.Sum(s.item.Sum[:0])
	return s.emit(int(min(s.item.Length, maxItem)))
}

// emit passes an item on, and cuts where the next could be too much.
func (s *Splitter) emit(size int) error {
	s.items++
	s.kept += size
	if err := s.visitor.Item(&s.item); err != nil {
		return err
	}
	if s.kept > ChunkSize-maxItem {
		return s.cut()
	}
	return nil
}

func (s *Splitter) cut() error {
	s.hash()
	var id [highwayhash.Size]byte
	s.stretch.Sum(id[:0])
	s.stretch.Reset()
	s.stretch.Write(s.prefix)
	s.kept, s.items = 0, 0
	return s.visitor.Cut(id)
}

func (s *Splitter) hash() {
	s.stretch.Write(s.buffer[s.hashed:s.pos])
	s.hashed = s.pos
}

// peek returns the next byte that is no white space.
func (s *Splitter) peek() (byte, bool) {
	for {
		if s.pos = space(s.buffer[:s.end], s.pos); s.pos < s.end {
			return s.buffer[s.pos], true
		}
		if !s.fill() {
			return 0, false
		}
	}
}

// fill reads until the buffer is full, or the body ends. It reports false when
// there is nothing more, or no room: then err is nil.
func (s *Splitter) fill() bool {
	if s.err != nil || s.end-s.pos >= maxItem {
		return false
	}
	s.hash()
	if s.pos > 0 {
		s.end = copy(s.buffer, s.buffer[s.pos:s.end])
		s.pos, s.hashed = 0, 0
	}
	if s.end == len(s.buffer) {
		grown := make([]byte, min(4*len(s.buffer), maxItem))
		copy(grown, s.buffer)
		s.buffer = grown
	}
	before := s.end
	for empty := 0; s.end < len(s.buffer) && s.err == nil; {
		n, err := s.source.Read(s.buffer[s.end:])
		s.end += n
		s.err = err
		if empty++; n > 0 {
			empty = 0
		} else if empty == 100 && err == nil {
			s.err = io.ErrNoProgress
		}
	}
	return s.end > before
}

// readError returns the error that ended the body before its end.
func (s *Splitter) readError() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return &ReadError{s.err}
}
