package forward

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"os"
)

// BufferSize is the memory that one Body takes, in bytes.
const BufferSize = 64 << 10

// Body is the copy of a body that is being received. Its methods do nothing on
// a nil Body. It is not safe for concurrent use.
type Body struct {
	f      *Forwarder
	number uint64
	file   *os.File
	stream cipher.Stream
	buffer *[BufferSize]byte // nil when the copy has ended, one way or the other
	filled int
	size   int64 // without what is in the buffer
	taken  int64 // of the queue
}

// On reports whether bodies are forwarded.
func (f *Forwarder) On() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.unlock()
	return f.target != nil
}

// Begin begins the copy of a body; length is negative when it is not known. It
// returns nil when the body is not forwarded.
func (f *Forwarder) Begin(length int64) *Body {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.unlock()
	if f.target == nil {
		return nil
	}
	if length > f.target.config.QueueBytes {
		f.count(reasonTooLarge, 1)
		return nil
	}
	f.files++
	return &Body{f: f, number: f.files, stream: f.keyStream(f.files), buffer: f.buffers.Get().(*[BufferSize]byte)}
}

// keyStream encrypts and decrypts a file. No two files share a part of it.
func (f *Forwarder) keyStream(file uint64) cipher.Stream {
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[:], file)
	return cipher.NewCTR(f.block, counter[:])
}

// Write adds what was received.
func (b *Body) Write(p []byte) {
	if b == nil {
		return
	}
	for len(p) > 0 && b.buffer != nil {
		n := copy(b.buffer[b.filled:], p)
		p, b.filled = p[n:], b.filled+n
		if b.filled == BufferSize {
			b.flush()
		}
	}
}

// flush writes the buffer to the file.
func (b *Body) flush() bool {
	if b.file == nil {
		file, err := os.OpenFile(b.f.path(b.number, partSuffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return b.giveUp(reasonVolume)
		}
		b.file = file
	}
	if more := cost(b.size+int64(b.filled)) - b.taken; more > 0 {
		if reason := b.f.grow(more, b.taken); reason != "" {
			return b.giveUp(reason)
		}
		b.taken += more
	}
	part := b.buffer[:b.filled]
	b.stream.XORKeyStream(part, part)
	if _, err := b.file.Write(part); err != nil {
		return b.giveUp(reasonVolume)
	}
	b.size, b.filled = b.size+int64(b.filled), 0
	return true
}

// giveUp drops the copy for a reason.
func (b *Body) giveUp(reason string) bool {
	f := b.f
	b.Abort()
	f.mu.Lock()
	defer f.unlock()
	f.count(reason, 1)
	return false
}

// Commit makes the body due: its events are durable.
func (b *Body) Commit() {
	if b == nil || b.buffer == nil || !b.flush() {
		return
	}
	f := b.f
	file := b.file
	b.file = nil
	if file.Close() != nil || os.Rename(f.path(b.number, partSuffix), f.path(b.number, dueSuffix)) != nil {
		_ = os.Remove(f.path(b.number, partSuffix))
		b.giveUp(reasonVolume)
		return
	}
	e := &entry{file: b.number, size: b.size}
	taken := b.taken
	b.taken = 0
	b.Abort()
	f.mu.Lock()
	defer f.unlock()
	f.queue = append(f.queue, e)
	if f.target == nil { // since Begin
		f.used += cost(e.size) - taken
		f.drop(reasonDisabled, 1)
		return
	}
	f.wake()
}

// Abort forgets the copy, unless it is committed.
func (b *Body) Abort() {
	if b == nil || b.buffer == nil {
		return
	}
	f := b.f
	if b.file != nil {
		_ = b.file.Close()
		_ = os.Remove(b.file.Name()) // else at the next start
		b.file = nil
	}
	f.buffers.Put(b.buffer)
	b.buffer = nil
	if b.taken > 0 {
		f.mu.Lock()
		defer f.unlock()
		f.used -= b.taken
		b.taken = 0
	}
}
