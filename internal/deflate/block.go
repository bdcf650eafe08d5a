package deflate

import (
	"encoding/binary"
	"slices"
)

// codes are those of a block.
type codes struct {
	literal  [numLiterals]code
	distance [numDistances]code
}

// build makes the codes for the symbols of f. With all, every symbol gets one, so
// that they serve other blocks too.
func (c *codes) build(f *finder, all bool) {
	f.literal[endOfBlock]++
	if all {
		for i := range f.literal {
			f.literal[i]++
		}
		for i := range f.distance {
			f.distance[i]++
		}
	}
	assign(c.literal[:], f.literal[:], maxCode)
	assign(c.distance[:], f.distance[:], maxCode)
}

// emit writes literals and a match of n bytes.
func (c *codes) emit(w *bitWriter, literals []byte, n, distance int) {
	// A code has at most 15 bits; a match takes at most 48, of 255 bytes or more
	// except at its end.
	w.reserve(2*len(literals) + n/32 + 32)
	// In registers for the time of the loop. Before each put there are fewer
	// than 8 bits, and no put adds more than 48.
	out, at, acc, have := w.bytes[:cap(w.bytes)], len(w.bytes), w.acc, w.n
	put := func() {
		binary.LittleEndian.PutUint64(out[at:], acc)
		at += int(have >> 3)
		acc >>= have &^ 7
		have &= 7
	}
	for ; len(literals) >= 3; literals = literals[3:] {
		x, y, z := c.literal[literals[0]], c.literal[literals[1]], c.literal[literals[2]]
		acc |= uint64(x.bits) << have
		have += uint(x.n)
		acc |= uint64(y.bits) << have
		have += uint(y.n)
		acc |= uint64(z.bits) << have
		have += uint(z.n)
		put()
	}
	for _, b := range literals {
		x := c.literal[b]
		acc |= uint64(x.bits) << have
		have += uint(x.n)
	}
	put()
	if n > 0 {
		d := uint32(distance - 1)
		to := c.distance[distanceSymbol(d)]
		value, extra := distanceExtra(d)
		for n > 0 {
			part := matchPart(n)
			n -= part
			l := lengths[part]
			x := c.literal[l.symbol]
			acc |= uint64(x.bits)<<have | uint64(l.value)<<(have+uint(x.n))
			have += uint(x.n) + uint(l.extra)
			acc |= uint64(to.bits)<<have | uint64(value)<<(have+uint(to.n))
			have += uint(to.n) + uint(extra)
			put()
		}
	}
	w.bytes, w.acc, w.n = out[:at], acc, have
}

// write writes the tokens of buf[from:] as a block of dynamic codes.
func (c *codes) write(w *bitWriter, buf []byte, from int, f *finder, final bool) {
	c.writeHeader(w, final)
	for i := range f.tokens {
		t := &f.tokens[i]
		c.emit(w, buf[from:from+int(t.literals)], int(t.length), int(t.distance))
		from += int(t.literals) + int(t.length)
	}
	c.end(w)
}

// end ends a block.
func (c *codes) end(w *bitWriter) { w.put(uint32(c.literal[endOfBlock].bits), c.literal[endOfBlock].n) }

// Symbols of code lengths, RFC 1951, 3.2.7.
const (
	repeatLast  = 16 // 3 to 6 times, in 2 bits
	repeatZero  = 17 // 3 to 10 times, in 3 bits
	repeatZeros = 18 // 11 to 138 times, in 7 bits
)

// lengthOrder is the order in which the lengths of their codes are written.
var lengthOrder = [numCodeLength]int{repeatLast, repeatZero, repeatZeros, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// run is a code length, or how often one is repeated.
type run struct{ symbol, value uint8 }

func (c *codes) writeHeader(w *bitWriter, final bool) {
	literals, distances := used(c.literal[:], firstLength), used(c.distance[:], 1)
	var memory [numLiterals + numDistances]uint8
	all := memory[:0]
	for _, x := range c.literal[:literals] {
		all = append(all, x.n)
	}
	for _, x := range c.distance[:distances] {
		all = append(all, x.n)
	}
	var runs [len(memory)]run
	list := appendRuns(runs[:0], all)
	var counts [numCodeLength]uint32
	for _, r := range list {
		counts[r.symbol]++
	}
	var lengthCodes [numCodeLength]code
	assign(lengthCodes[:], counts[:], maxLengthCode)
	n := numCodeLength
	for n > 4 && lengthCodes[lengthOrder[n-1]].n == 0 {
		n--
	}
	const dynamic = 2
	begin := uint32(dynamic << 1)
	if final {
		begin |= 1
	}
	w.put(begin, 3)
	w.put(uint32(literals-firstLength), 5)
	w.put(uint32(distances-1), 5)
	w.put(uint32(n-4), 4)
	for _, symbol := range lengthOrder[:n] {
		w.put(uint32(lengthCodes[symbol].n), 3)
	}
	for _, r := range list {
		w.put(uint32(lengthCodes[r.symbol].bits), lengthCodes[r.symbol].n)
		switch r.symbol {
		case repeatLast:
			w.put(uint32(r.value), 2)
		case repeatZero:
			w.put(uint32(r.value), 3)
		case repeatZeros:
			w.put(uint32(r.value), 7)
		}
	}
}

// used returns how many codes are written: up to the last one, at least least.
func used(codes []code, least int) int {
	n := len(codes)
	for n > least && codes[n-1].n == 0 {
		n--
	}
	return n
}

// appendRuns shortens equal code lengths that follow each other.
func appendRuns(runs []run, all []uint8) []run {
	for len(all) > 0 {
		x, n := all[0], 1
		for n < len(all) && all[n] == x {
			n++
		}
		all = all[n:]
		if x != 0 {
			runs = append(runs, run{symbol: x})
			n--
		}
		for n >= 3 {
			part := 0
			switch {
			case x != 0:
				part = min(n, 6)
				runs = append(runs, run{repeatLast, uint8(part - 3)})
			case n <= 10:
				part = n
				runs = append(runs, run{repeatZero, uint8(part - 3)})
			default:
				part = min(n, 138)
				runs = append(runs, run{repeatZeros, uint8(part - 11)})
			}
			n -= part
		}
		for range n {
			runs = append(runs, run{symbol: x})
		}
	}
	return runs
}

// bitWriter appends bits, the first one lowest.
type bitWriter struct {
	bytes []byte
	acc   uint64 // bits that make no whole byte yet
	n     uint   // how many; fewer than 8
}

func (w *bitWriter) reset() { w.bytes, w.acc, w.n = w.bytes[:0], 0, 0 }

// put appends the n low bits of b, at most 32.
func (w *bitWriter) put(b uint32, n uint8) {
	w.acc |= uint64(b) << w.n
	for w.n += uint(n); w.n >= 8; w.n -= 8 {
		w.bytes = append(w.bytes, byte(w.acc))
		w.acc >>= 8
	}
}

// align fills the last byte with zeros.
func (w *bitWriter) align() {
	if w.n > 0 {
		w.put(0, uint8(8-w.n))
	}
}

func (w *bitWriter) reserve(n int) { w.bytes = slices.Grow(w.bytes, n) }
