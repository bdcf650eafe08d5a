// Package loss compares what API servers say they have processed and dropped with
// what the receiver has received of them. What is known then, an Account decides;
// here it observes, is kept, and becomes records.
package loss

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// +kubebuilder:rbac:urls=/metrics,verbs=get
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=configmaps,resourceNames=trail-loss-account,verbs=get;patch

const (
	// interval between two looks: the metrics of a large API server are megabytes.
	interval = time.Minute
	// maxRecords are handed over at once.
	maxRecords = 50
)

// Receiver is the receiver's status API.
type Receiver interface {
	Status(ctx context.Context) (*receiverstatus.Status, error)
	Record(ctx context.Context, events ...record.OwnEvent) error
}

// Accountant keeps the account.
type Accountant struct {
	// Client must not cache ConfigMaps. Direct caches nothing.
	Client client.Client
	Direct client.Reader
	// Config of the manager, for the API servers.
	Config    *rest.Config
	Namespace string
	// APIServers are the names in the manager's configuration.
	APIServers []string
	// Off: nothing is read, and nothing is known.
	Off bool
	// Tails are let in.
	Tails    bool
	Receiver Receiver
	Clock    clock.PassiveClock
	// Interval between looks, 0 means a minute; and Lag, 0 means lossaccount.Lag.
	Interval, Lag time.Duration

	view    atomic.Pointer[lossaccount.View]
	account *lossaccount.Account
	// probes are the IDs of those that were made to learn the name of a process.
	probes  map[lossaccount.Identity][]string
	failing map[string]bool // addresses of which that was logged
	trouble string          // what was logged of the rest
}

// View is what is known, as of the last look; nil before the first.
func (a *Accountant) View() *lossaccount.View { return a.view.Load() }

// NeedLeaderElection says that only the leader keeps the account.
func (a *Accountant) NeedLeaderElection() bool { return true }

// Start looks again and again until ctx is done.
func (a *Accountant) Start(ctx context.Context) error {
	if a.Off {
		a.view.Store(&lossaccount.View{Off: true})
		return nil
	}
	if a.Interval == 0 {
		a.Interval = interval
	}
	log := logf.FromContext(ctx).WithName("loss")
	a.probes, a.failing = map[lossaccount.Identity][]string{}, map[string]bool{}
	ticker := time.NewTicker(a.Interval)
	defer ticker.Stop()
	for {
		if err := a.look(ctx, log); ctx.Err() == nil {
			a.complain(log, err)
			a.view.CompareAndSwap(nil, &lossaccount.View{}) // nothing is known, and not only not yet
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// complain logs what does not work, each time it changes.
func (a *Accountant) complain(log logr.Logger, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != a.trouble && err != nil {
		log.Error(err, "The account of what API servers have lost cannot be kept")
	}
	a.trouble = text
}

// look observes once. What was found is stored before it is recorded: a record
// is made under the same ID by whoever reads the account, and so once.
func (a *Accountant) look(ctx context.Context, log logr.Logger) error {
	if a.account == nil {
		if err := a.load(ctx, log); err != nil {
			return err
		}
	}
	o := lossaccount.Observation{Names: map[lossaccount.Identity]string{}}
	// The receiver comes first: an event that it has counted, its API server has
	// processed.
	status, err := a.Receiver.Status(ctx)
	if err == nil {
		o.Receiver = a.receiver(status)
	}
	if err := a.reach(ctx, log, &o); err != nil {
		return err
	}
	a.name(&o, status)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o.Now = a.Clock.Now()
	a.account.Observe(o)
	view := a.account.View()
	a.view.Store(&view)
	if err := a.store(ctx); err != nil {
		return err
	}
	a.record(ctx, log)
	return nil
}

// load reads the account of the manager before.
func (a *Accountant) load(ctx context.Context, log logr.Logger) error {
	var cm corev1.ConfigMap
	err := a.Client.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: manifests.LossAccountName}, &cm)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the ConfigMap %s: %w", manifests.LossAccountName, err)
	}
	account, err := lossaccount.Load([]byte(cm.Data[manifests.KeyLossAccount]))
	if err != nil {
		log.Error(err, "The account of what API servers have lost begins anew", "configMap", manifests.LossAccountName)
		account = lossaccount.Anew(a.Clock.Now())
	}
	account.Configure(lossaccount.Options{Lag: a.Lag, Stale: 3 * a.Interval})
	a.account = account
	return nil
}

func (a *Accountant) store(ctx context.Context) error {
	raw, err := a.account.Store()
	if err != nil {
		return err
	}
	err = a.Client.Apply(ctx, manifests.LossAccount(a.Namespace, raw), client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the ConfigMap %s: %w", manifests.LossAccountName, err)
	}
	return nil
}

// record hands losses over that are stored. A receiver that is away gets them later.
func (a *Accountant) record(ctx context.Context, log logr.Logger) {
	due := a.account.Due()
	due = due[:min(len(due), maxRecords)]
	if len(due) == 0 {
		return
	}
	events := make([]record.OwnEvent, len(due))
	for i := range due {
		events[i] = due[i].Event()
	}
	if err := a.Receiver.Record(ctx, events...); err != nil {
		log.V(1).Info("Losses are recorded later", "cause", err.Error())
		return
	}
	for i := range due {
		a.account.Recorded(due[i].ID)
		log.Info("Events of an API server were lost, or may have been", "cause", due[i].Cause, "apiServer", due[i].APIServer,
			"events", due[i].Events, "from", due[i].From, "to", due[i].To)
	}
}
