package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// receiver stands in for the receiver: it loads the configuration that was
// rendered, as the real one does, and reports what the test tells it to.
type receiver struct {
	namespace string
	dir       string

	mu     sync.Mutex
	away   bool
	frozen bool // does not load newer configurations
	trails map[string]receiverstatus.Trail
	change func(*receiverstatus.Status)
	events []record.OwnEvent
	ids    map[string]bool
	loaded *receiverconfig.Loaded
}

var errAway = errors.New("away")

func newReceiver(t *testing.T, namespace string) *receiver {
	return &receiver{
		namespace: namespace, dir: t.TempDir(),
		trails: map[string]receiverstatus.Trail{}, ids: map[string]bool{}, change: func(*receiverstatus.Status) {},
	}
}

// do changes the receiver.
func (r *receiver) do(f func(*receiver)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

// load does what the kubelet does, and then what the receiver does.
func (r *receiver) load(ctx context.Context) (*receiverconfig.Loaded, error) {
	var secrets corev1.SecretList
	if err := admin.List(ctx, &secrets, client.InNamespace(r.namespace), client.MatchingLabels{manifests.ReceiverConfigLabel: "true"}); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.dir, "config")
	if err != nil {
		return nil, err
	}
	for _, s := range secrets.Items {
		for name, b := range s.Data {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				return nil, err
			}
		}
	}
	return receiverconfig.Load(dir)
}

func (r *receiver) Status(ctx context.Context) (*receiverstatus.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, errAway
	}
	if !r.frozen {
		switch l, err := r.load(ctx); {
		case err == nil:
			r.loaded = l
		case !errors.Is(err, receiverconfig.ErrIncomplete):
			return nil, err
		}
	}
	s := &receiverstatus.Status{Intake: receiverstatus.Intake{Received: 1}}
	if r.loaded == nil {
		return s, nil
	}
	s.Generation = r.loaded.Config.Generation
	for _, t := range r.loaded.Trails {
		state := r.trails[t.UID]
		state.UID = t.UID
		selection := receiverconfig.SelectionSHA256(t.Selection)
		if state.Generation != t.Generation || state.SelectionSHA256 != selection {
			state.Generation, state.SelectionSHA256, state.StartPosition = t.Generation, selection, state.StartPosition+10
		}
		r.trails[t.UID] = state
		s.Trails = append(s.Trails, state)
	}
	r.change(s)
	return s, nil
}

func (r *receiver) Record(_ context.Context, events ...record.OwnEvent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return errAway
	}
	for _, e := range events {
		if !r.ids[e.ID] {
			r.ids[e.ID] = true
			r.events = append(r.events, e)
		}
	}
	return nil
}

// recorded are the names of the events that were handed over for a trail.
func (r *receiver) recorded(uid string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, e := range r.events {
		if len(e.Trails) == 1 && e.Trails[0] == uid {
			names = append(names, e.Name)
		}
	}
	return names
}

// trail is the trail as the receiver has loaded it, nil when it has not.
func (r *receiver) trail(uid string) *receiverconfig.Trail {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded == nil {
		return nil
	}
	for i := range r.loaded.Trails {
		if r.loaded.Trails[i].UID == uid {
			return &r.loaded.Trails[i]
		}
	}
	return nil
}

// set changes what the receiver reports of a trail.
func (r *receiver) set(uid string, f func(*receiverstatus.Trail)) {
	r.do(func(r *receiver) {
		s := r.trails[uid]
		f(&s)
		r.trails[uid] = s
	})
}

func ago(d time.Duration) *time.Time { t := time.Now().Add(-d); return &t }
