package mapping

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined by SHA-1; it protects nothing.
	"encoding/hex"
)

// eventNamespace is the namespace of the UUIDs of events:
// UUIDv5(NameSpace_DNS, "events.trail-operator.io").
var eventNamespace = [16]byte{
	0xa7, 0x48, 0x14, 0xa4, 0x06, 0xd1, 0x51, 0x87, 0xb4, 0x65, 0xd9, 0x97, 0x77, 0xa3, 0x56, 0xf4,
}

// appendUUID appends the UUIDv5 of an event key.
func appendUUID(dst, key []byte) []byte {
	var buf [64]byte
	in := append(append(buf[:0], eventNamespace[:]...), key...)
	sum := sha1.Sum(in) //nolint:gosec // see the import
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	dst = hex.AppendEncode(dst, sum[:4])
	for _, part := range [...][]byte{sum[4:6], sum[6:8], sum[8:10], sum[10:16]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}
