//go:build !race

package pebble

// memoryBound is what the spool may hold, in bytes.
const memoryBound = 100 << 20
