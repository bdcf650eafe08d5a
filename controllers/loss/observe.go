package loss

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/controllers/probe"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

const (
	// scrapeTimeout bounds what one API server takes.
	scrapeTimeout = 30 * time.Second
	// atOnce API servers are asked at a time, of at most maxTargets.
	atOnce     = 4
	maxTargets = 100
	// maxProbes of a process are remembered: their events take a moment to arrive.
	maxProbes = 4
	// serverName is one that the certificate of every API server is good for.
	serverName = "kubernetes.default.svc"
	// tailCurrent is how old the newest event of a tail may be that has surely sent
	// everything.
	tailCurrent = time.Minute
	// tailGone is after what silence a tail is none any more.
	tailGone = 7 * 24 * time.Hour
)

// target is one API server.
type target struct {
	address string
	config  *rest.Config
}

// targets are all API servers, as the EndpointSlice names them.
func (a *Accountant) targets(ctx context.Context) ([]target, error) {
	var slice discoveryv1.EndpointSlice
	key := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}
	// There is none where the API server listens on loopback only.
	if err := client.IgnoreNotFound(a.Direct.Get(ctx, key, &slice)); err != nil {
		return nil, fmt.Errorf("reading the EndpointSlice %s, which holds the addresses of the API servers: %w", key, err)
	}
	var list []target
	for _, e := range slice.Endpoints {
		for _, ip := range e.Addresses {
			for _, p := range slice.Ports {
				if p.Port != nil && len(list) < maxTargets {
					address := net.JoinHostPort(ip, strconv.Itoa(int(*p.Port)))
					list = append(list, target{address, addressed(a.Config, address)})
				}
			}
		}
	}
	return list, nil
}

// own is the API server that the manager itself talks to, perhaps one after the
// other: for clusters whose API servers cannot be reached one by one.
func (a *Accountant) own() ([]target, error) {
	u, err := url.Parse(a.Config.Host)
	if err != nil || u.Host == "" {
		return nil, errors.New("the address of the API server is not known")
	}
	return []target{{u.Host, a.Config}}, nil
}

// reach reads the metrics of all API servers, and notes in o what was asked and
// what was answered.
func (a *Accountant) reach(ctx context.Context, log logr.Logger, o *lossaccount.Observation) error {
	targets, err := a.targets(ctx)
	if err != nil {
		return err
	}
	o.Samples = a.scrape(ctx, log, targets)
	if len(o.Samples) == 0 && !slices.ContainsFunc(targets, func(t target) bool { return a.account.Knows(t.address) }) {
		if targets, err = a.own(); err != nil {
			return err
		}
		o.Samples = a.scrape(ctx, log, targets)
	}
	for _, t := range targets {
		o.Addresses = append(o.Addresses, t.address)
	}
	return nil
}

// addressed is the configuration for one of several API servers.
func addressed(config *rest.Config, address string) *rest.Config {
	c := rest.CopyConfig(config)
	c.Host = "https://" + address
	if !c.Insecure {
		c.ServerName = serverName
	}
	return c
}

// scrape reads the metrics of all API servers.
func (a *Accountant) scrape(ctx context.Context, log logr.Logger, targets []target) []lossaccount.Sample {
	samples := make([]*lossaccount.Sample, len(targets))
	failures := make([]error, len(targets))
	var wg sync.WaitGroup
	var mu sync.Mutex // of a.probes
	places := make(chan struct{}, atOnce)
	for i, t := range targets {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			samples[i], failures[i] = a.read(ctx, t, &mu)
		})
	}
	wg.Wait()
	var list []lossaccount.Sample
	for i, t := range targets {
		if samples[i] != nil {
			list = append(list, *samples[i])
		}
		if err := failures[i]; err != nil && ctx.Err() == nil {
			if !a.failing[t.address] {
				log.Info("The metrics of an API server cannot be read", "address", t.address, "cause", err.Error())
			}
			a.failing[t.address] = true
		} else {
			delete(a.failing, t.address)
		}
	}
	return list
}

// read reads the metrics of one API server and, as long as its name is not known,
// makes a probe over the same connection.
func (a *Accountant) read(ctx context.Context, t target, mu *sync.Mutex) (*lossaccount.Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	c, err := probe.Connect(t.config)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	resp, err := c.Get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading metrics: the answer has the status %d", resp.StatusCode)
	}
	s, err := lossaccount.ParseMetrics(resp.Body)
	if err != nil {
		return nil, err
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = a.Clock.Now()
	}
	s.Address, s.Age = t.address, max(0, date.Sub(s.Started))
	if a.account.Named(s.Identity()) {
		return &s, nil
	}
	if id, err := c.Probe(ctx, a.Namespace); err == nil {
		mu.Lock()
		ids := append(a.probes[s.Identity()], id)
		a.probes[s.Identity()] = ids[max(0, len(ids)-maxProbes):]
		mu.Unlock()
	}
	return &s, nil
}

// receiver is what an account needs of the receiver's status.
func (a *Accountant) receiver(s *receiverstatus.Status) *lossaccount.Receiver {
	r := &lossaccount.Receiver{Spool: s.Spool.UUID, Tail: s.Spool.Tail, Accounted: s.Intake.AccountedTo, Sources: map[string]lossaccount.Source{}}
	received := map[string]int64{}
	for _, of := range s.Intake.Accounts {
		received[of.Source] = of.Received
	}
	now := a.Clock.Now()
	for i := range s.Intake.Sources {
		from := &s.Intake.Sources[i]
		r.Sources[from.APIServer] = lossaccount.Source{LastPost: from.LastPost, Received: received[from.Cluster+"/"+from.APIServer]}
	}
	for i := range s.Intake.Tails {
		t := &s.Intake.Tails[i]
		of := r.Sources[t.APIServer]
		// The first one of an API server has posted last. A name that the installer
		// has taken away is one whose machine is gone.
		if !a.Tails || of.Tail || now.Sub(t.LastPost) > tailGone || !slices.Contains(a.APIServers, t.APIServer) {
			continue
		}
		of.Tail, of.TailCurrent = true, t.Newest != nil && time.Duration(t.LagSeconds)*time.Second <= tailCurrent
		if t.Newest != nil {
			of.TailNewest = *t.Newest
		}
		of.Received = received[t.Cluster+"/"+t.APIServer+"/tail"]
		r.Sources[t.APIServer] = of
	}
	return r
}

// name finds out which API server each process is: the one that has sent the
// probe which was made over the connection to the process.
func (a *Accountant) name(o *lossaccount.Observation, s *receiverstatus.Status) {
	if s == nil {
		return
	}
	for i := range s.Intake.Sources {
		from := &s.Intake.Sources[i]
		for identity, ids := range a.probes {
			if slices.ContainsFunc(from.Probes, func(p receiverstatus.Probe) bool { return slices.Contains(ids, p.ID) }) {
				o.Names[identity] = from.APIServer
			}
		}
	}
	// An audit policy may leave probes out. Where there is one of each, they are the same.
	if len(o.Samples) == 1 && len(o.Addresses) == 1 && len(o.Receiver.Sources) == 1 && len(a.APIServers) == 1 {
		if _, ok := o.Receiver.Sources[a.APIServers[0]]; ok {
			o.Names[o.Samples[0].Identity()] = a.APIServers[0]
		}
	}
	for identity := range a.probes {
		if a.account.Named(identity) || !slices.ContainsFunc(o.Samples, func(s lossaccount.Sample) bool { return s.Identity() == identity }) {
			delete(a.probes, identity)
		}
	}
}
