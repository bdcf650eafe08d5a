//go:build race

package pebble

// memoryBound is higher with the race detector, which keeps a shadow of what
// is touched.
const memoryBound = 220 << 20
