package spooltest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func testClosed(t *testing.T, v *Volume) {
	s := open(t, v)
	mustAppend(t, s, chunkN(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, appendErr := s.Append(t.Context(), []spool.Chunk{chunkN(2)})
	_, getErr := s.Get("a")
	for name, err := range map[string]error{
		"Append": appendErr,
		"Get":    getErr,
		"Commit": s.Commit(spool.Set("a", nil)),
		"Scan":   s.Scan("", func(string, []byte) error { return nil }),
		"Trim":   s.Trim(1),
		"Wait":   s.Wait(context.Background(), 1),
		"Read":   s.Read(t.Context(), 0, func(spool.Position, *spool.Chunk) error { return nil }, nil),
		"Close":  s.Close(),
	} {
		if !errors.Is(err, spool.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	_, _, _ = s.Tail(), s.UUID(), s.Usage()
}

// testCloseWaits closes while everything is under way: every call ends, and
// what was answered is there.
func testCloseWaits(t *testing.T, v *Volume) {
	s := open(t, v)
	var answered atomic.Int64
	var wg sync.WaitGroup
	ignoreClosed := func(err error) bool {
		if err != nil && !errors.Is(err, spool.ErrClosed) {
			t.Error(err)
		}
		return err == nil
	}
	started := make(chan struct{}, 4)
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, err := s.Append(context.Background(), []spool.Chunk{chunkN(w*1_000_000 + i)}); !ignoreClosed(err) {
					return
				}
				answered.Add(1)
				if i == 10 {
					started <- struct{}{}
				}
			}
		})
		wg.Go(func() {
			for {
				if _, err := collect(context.Background(), s, 0); !ignoreClosed(err) {
					return
				}
				err := s.Scan("", func(key string, _ []byte) error { return s.Commit(spool.Set(key, []byte("x"))) })
				if !ignoreClosed(err) || !ignoreClosed(s.Commit(spool.Set("a", []byte("x")))) {
					return
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	s = open(t, v)
	if got := len(read(t, s, 0)); got != int(answered.Load()) || s.Tail() != spool.Position(got) {
		t.Errorf("%d chunks are stored, %d were answered, the tail is at %d", got, answered.Load(), s.Tail())
	}
}
