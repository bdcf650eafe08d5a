package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/serviceaccount"
)

const (
	// tailInterval is how often the keys are read: an API server signs with a new
	// one as soon as it starts with it.
	tailInterval = time.Minute
	// keyKept is for how long a key stays that is not shown any more. While keys
	// are rotated one API server after the other, each shows others.
	keyKept = 10 * time.Minute
)

// Paths of an API server that tell how its tokens are verified.
const (
	pathIssuer = "/.well-known/openid-configuration"
	pathKeys   = "/openid/v1/jwks"
)

// Where nobody has taken it away, every ServiceAccount may read them.
// +kubebuilder:rbac:urls=/.well-known/openid-configuration;/openid/v1/jwks,verbs=get

// Tail tells the receiver by what the tokens of tails are verified, as the API
// server shows it.
type Tail struct {
	// API is a client of the API server.
	API       rest.Interface
	Config    *managerconfig.Config
	Publisher *Publisher
	Clock     clock.PassiveClock

	keys map[string]shownKey
	said string // what was logged last
}

// shownKey is a key, and when an API server has shown it last.
type shownKey struct {
	key  jose.JSONWebKey
	last time.Time
}

// NeedLeaderElection says that only the leader renders.
func (t *Tail) NeedLeaderElection() bool { return true }

// Start renders every minute until ctx is done.
func (t *Tail) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("tail")
	ticker := time.NewTicker(tailInterval)
	defer ticker.Stop()
	for {
		said := ""
		if err := t.update(ctx); err != nil && ctx.Err() == nil {
			if said = err.Error(); said != t.said {
				log.Error(err, "The receiver does not learn by which keys the tokens of tails are verified; what it was told before stays in force")
			}
		}
		t.said = said
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (t *Tail) update(ctx context.Context) error {
	if !t.Config.Intake.Tail.Enabled {
		return t.Publisher.SetTail(ctx, nil)
	}
	raw, err := t.get(ctx, pathIssuer)
	if err != nil {
		return err
	}
	var about struct {
		Issuer string `json:"issuer"`
	}
	if json.Unmarshal(raw, &about) != nil || about.Issuer == "" || len(about.Issuer) > receiverconfig.MaxIssuer {
		return errors.New("the API server does not say in " + pathIssuer + " who issues service account tokens")
	}
	if raw, err = t.get(ctx, pathKeys); err != nil {
		return err
	}
	keys, err := t.merge(raw)
	if err != nil {
		return err
	}
	return t.Publisher.SetTail(ctx, &receiverconfig.Tail{Issuer: about.Issuer, Keys: keys, Namespace: t.Config.Namespace})
}

func (t *Tail) get(ctx context.Context, path string) ([]byte, error) {
	raw, err := t.API.Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the API server: %w", path, err)
	}
	return raw, nil
}

// merge returns the keys that the API server shows, and those that one has shown
// a short time ago, in a fixed order.
func (t *Tail) merge(raw []byte) (json.RawMessage, error) {
	set, err := serviceaccount.ParseKeys(raw)
	if err != nil {
		return nil, err
	}
	now := t.Clock.Now()
	if t.keys == nil {
		t.keys = map[string]shownKey{}
	}
	for _, k := range set.Keys {
		t.keys[k.KeyID] = shownKey{k, now}
	}
	maps.DeleteFunc(t.keys, func(_ string, k shownKey) bool { return now.Sub(k.last) > keyKept })
	merged := jose.JSONWebKeySet{}
	for _, id := range slices.Sorted(maps.Keys(t.keys)) {
		merged.Keys = append(merged.Keys, t.keys[id].key)
	}
	out, err := json.Marshal(merged)
	if err == nil {
		_, err = serviceaccount.ParseKeys(out) // the bounds of the receiver
	}
	return out, err
}
