//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// loadInterval is the time between two calls of a load.
const loadInterval = 15 * time.Millisecond

// load creates objects with names of their own, one after the other, until it
// is stopped. Each is one event that has to be recorded once.
type load struct {
	prefix string
	cancel context.CancelFunc
	done   chan struct{}
	names  []string // of what the API server has confirmed
	err    error
}

func (e *environment) startLoad(ctx context.Context, namespace, prefix string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{prefix: prefix, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(loadInterval)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			name := fmt.Sprintf("%s-%05d", prefix, n)
			o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			// A call that has begun is ended, so that nobody need guess whether it was made.
			if err := e.client.Create(context.WithoutCancel(ctx), o); err != nil {
				l.err = err
				return
			}
			l.names = append(l.names, name)
		}
	}()
	return l
}

// stop ends the load and returns the names of what it has created.
func (l *load) stop(t *testing.T) []string {
	t.Helper()
	l.cancel()
	<-l.done
	if l.err != nil {
		t.Fatalf("the load %s ended after %d calls: %v", l.prefix, len(l.names), l.err)
	}
	return l.names
}

// arrive waits until the creation of each of these ConfigMaps is in the bucket,
// once. The API server may hold events for more than a minute when the receiver
// was away.
func (e *environment) arrive(ctx context.Context, t *testing.T, tr trail, names []string) {
	t.Helper()
	if len(names) < 20 {
		t.Fatalf("the load made %d calls only", len(names))
	}
	e.loads = append(e.loads, names)
	eventually(ctx, t, fmt.Sprintf("%d events in the bucket", len(names)), func() string {
		missing, doubled, err := e.compare(ctx, tr, names)
		switch {
		case err != nil:
			return err.Error()
		case len(doubled) > 0:
			t.Fatalf("of %d calls, %d are in the bucket more than once: %s", len(names), len(doubled), some(doubled))
		case len(missing) > 0:
			return fmt.Sprintf("%d are missing: %s", len(missing), some(missing))
		}
		return ""
	})
	t.Logf("%d calls, each recorded once", len(names))
}

// compare returns which of these ConfigMaps are not recorded as created, and
// which are more than once.
func (e *environment) compare(ctx context.Context, tr trail, names []string) (missing, doubled []string, err error) {
	records, err := tr.server(e).records(ctx, tr.bucket(), tr.prefix())
	if err != nil {
		return nil, nil, err
	}
	times := map[string]int{}
	for i := range records {
		r := &records[i]
		if r.EventName != "CreateConfigMap" || r.ErrorCode != "" {
			continue
		}
		for _, o := range r.Resources {
			times[o.ARN[strings.LastIndex(o.ARN, "/")+1:]]++
		}
	}
	for _, name := range names {
		switch n := times[name]; {
		case n == 0:
			missing = append(missing, name)
		case n > 1:
			doubled = append(doubled, name)
		}
	}
	return missing, doubled, nil
}

func some(names []string) string {
	if len(names) > 6 {
		names = append(append([]string{}, names[:3]...), append([]string{"…"}, names[len(names)-3:]...)...)
	}
	return strings.Join(names, " ")
}

// pause lets a load go on for a while.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
