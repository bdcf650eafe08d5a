package minio

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNamesAreAskedOnce: however many want to know, the resolver is asked once
// in a while; a failure is not remembered.
func TestNamesAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		fail := errors.New("planted")
		at := netip.MustParseAddr("10.0.0.1")
		n := names{lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			switch host {
			case "nobody":
				return nil, &net.DNSError{IsNotFound: true}
			case "broken":
				return nil, fail
			}
			return []netip.Addr{at}, nil
		}}
		all := func(host string, want int, wantErr error) {
			t.Helper()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					addrs, err := n.find(t.Context(), host)
					if len(addrs) != want || !errors.Is(err, wantErr) {
						t.Errorf("%s: %v %v", host, addrs, err)
					}
				})
			}
			wg.Wait()
		}
		for _, step := range []struct {
			host      string
			addresses int
			err       error
			asked     int32
		}{
			{"somebody", 1, nil, 1}, {"somebody", 1, nil, 1}, {"nobody", 0, nil, 2}, {"nobody", 0, nil, 2}, {"broken", 0, fail, 3}, {"broken", 0, fail, 4},
		} {
			if all(step.host, step.addresses, step.err); asked.Load() != step.asked {
				t.Errorf("%s: asked %d times, want %d", step.host, asked.Load(), step.asked)
			}
		}
		time.Sleep(nameTTL)
		if all("somebody", 1, nil); asked.Load() != 5 {
			t.Errorf("asked %d times after a while", asked.Load())
		}
		// One that gives up does not spoil it for others.
		time.Sleep(nameTTL)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := n.find(ctx, "somebody"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all("somebody", 1, nil)
		if _, err := n.find(ctx, "somebody"); err == nil {
			t.Error("an answer after the end")
		}
	})
}
