package outbox

import (
	"fmt"
	"math"
	"syscall"
)

// Space tells how many bytes of the volume that holds dir we may still write,
// and how many it has in all.
func (OS) Space(dir string) (free, size int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("find out how much space %s has: %w", dir, err)
	}
	block := uint64(s.Bsize)
	return int64(min(s.Bavail*block, math.MaxInt64)), int64(min(s.Blocks*block, math.MaxInt64)), nil
}
