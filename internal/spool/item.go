package spool

import (
	"encoding/binary"
	"errors"
	"iter"
)

// AppendItem appends one item to the Data of a chunk.
func AppendItem(data, item []byte) []byte {
	data = binary.AppendUvarint(data, uint64(len(item)))
	return append(data, item...)
}

var errItem = errors.New("spool: item length beyond the chunk")

// Items yields the items of a chunk's Data without copying them.
func Items(data []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(data) > 0 {
			n, w := binary.Uvarint(data)
			if w <= 0 || n > uint64(len(data)-w) {
				yield(nil, errItem)
				return
			}
			if !yield(data[w:w+int(n)], nil) {
				return
			}
			data = data[w+int(n):]
		}
	}
}
