// Package controllers puts the manager together.
package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/eventselector"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/controllers/loss"
	"github.com/trail-operator/trail-operator/controllers/organizationtrail"
	"github.com/trail-operator/trail-operator/controllers/probe"
	"github.com/trail-operator/trail-operator/controllers/receiver"
	"github.com/trail-operator/trail-operator/controllers/trail"
	"github.com/trail-operator/trail-operator/controllers/validation"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverclient"
)

// Options of NewManager. Only Config and Open are required.
type Options struct {
	Config *managerconfig.Config
	Open   objectstore.ManagedOpener
	// Receiver is reached over the network when nil.
	Receiver trail.Receiver
	// PollReceiver is how often the receiver's status is read; 0 means 2 s.
	PollReceiver time.Duration
	// Certificates are looked at this often, and those replaced are refused when
	// they have not been used for so long; 0 means 5 s and 10 minutes.
	CertificateInterval, CertificateSettle time.Duration
	// ProbeInterval is how often the manager makes the calls that show what API
	// servers send, and ProbeLag how long their events may take; 0 means half a
	// minute at first and later five, and two minutes.
	ProbeInterval, ProbeLag time.Duration
	// LossInterval is how often the metrics of API servers are read, and LossLag how
	// long an event may be under way; 0 means a minute and six.
	LossInterval, LossLag time.Duration
	// ValidationInterval is how often it is looked which trails are to be
	// validated; 0 means 5 seconds.
	ValidationInterval time.Duration
	Clock              clock.PassiveClock
	// Metrics is the registry; nil means that of controller-runtime.
	Metrics prometheus.Registerer
}

// NewManager makes what is missing of the installation and returns a manager
// with all controllers. It talks to the API server and may be called again
// after an error.
func NewManager(ctx context.Context, cfg *rest.Config, o Options) (ctrl.Manager, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.PollReceiver == 0 {
		o.PollReceiver = 2 * time.Second
	}
	repeated := o.Metrics != nil // then there may be several managers in one process
	if o.Metrics == nil {
		o.Metrics = metrics.Registry
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	direct, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	api := &apiServer{client: direct, config: cfg}
	if err := api.look(ctx); err != nil {
		return nil, err
	}
	made, err := installation.Ensure(ctx, direct, o.Config, o.Clock)
	if err != nil {
		return nil, err
	}
	keeper := &installation.Keeper{
		Installation: made, Expiry: installation.NewExpiry(), Interval: o.CertificateInterval, Settle: o.CertificateSettle,
	}
	if o.Receiver == nil {
		certificates := made.Certificates()
		c, err := receiverclient.New(o.Config.Receiver.Address, certificates.Roots, certificates.Manager)
		if err != nil {
			return nil, err
		}
		o.Receiver, keeper.Renewed = c, c.Use
	}
	cached := cache.Options{ByObject: validation.Cache(o.Config.Namespace)}
	if made.Receiver != nil {
		maps.Copy(cached.ByObject, receiver.Cache(o.Config.Namespace))
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Cache:                         cached,
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: o.Config.MetricsBindAddress},
		HealthProbeBindAddress:        o.Config.HealthBindAddress,
		LeaderElection:                o.Config.LeaderElection,
		LeaderElectionID:              manifests.LeaseName,
		LeaderElectionNamespace:       o.Config.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Controller:                    config.Controller{SkipNameValidation: &repeated},
		// The manager may get Secrets, one by one, and must never list them.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	})
	if err != nil {
		return nil, err
	}
	for _, add := range []func(string, healthz.Checker) error{mgr.AddHealthzCheck, mgr.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return nil, err
		}
	}
	resources, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(&installation.Kinds{Discovery: resources, Publisher: made.Publisher}); err != nil {
		return nil, err
	}
	for _, r := range []manager.Runnable{
		made.Publisher,
		&installation.Forward{Client: mgr.GetClient(), Config: o.Config, Publisher: made.Publisher},
		&installation.Tail{API: resources.RESTClient(), Config: o.Config, Publisher: made.Publisher, Clock: o.Clock},
		&probe.Prober{Config: cfg, Namespace: o.Config.Namespace, Interval: o.ProbeInterval},
	} {
		if err := mgr.Add(r); err != nil {
			return nil, err
		}
	}
	accountant := &loss.Accountant{
		Client: mgr.GetClient(), Direct: direct, Config: cfg, Namespace: o.Config.Namespace, APIServers: o.Config.Receiver.APIServers,
		Off: o.Config.LossAccounting.Disabled, Tails: o.Config.Intake.Tail.Enabled, Receiver: o.Receiver, Clock: o.Clock, Interval: o.LossInterval, Lag: o.LossLag,
	}
	if err := errors.Join(o.Metrics.Register(loss.NewMetrics(accountant)), mgr.Add(accountant)); err != nil {
		return nil, err
	}
	keeper.Receiver, keeper.Events = o.Receiver, mgr.GetEventRecorder("certificates")
	poller := &trail.Poller{
		Client: mgr.GetClient(), Receiver: o.Receiver, Installation: made, DenyHosts: api.hosts, Clock: o.Clock,
		Interval: o.PollReceiver, Abandoned: trail.NewAbandoned(), ProbeLag: cmp.Or(o.ProbeLag, auditpolicy.ProbeLag),
		Losses: accountant.View,
		Report: &trail.Report{
			Client: mgr.GetClient(), Namespace: o.Config.Namespace, APIServers: o.Config.Receiver.APIServers, Clock: o.Clock, Installation: made,
		},
	}
	err = errors.Join(o.Metrics.Register(poller.Abandoned), o.Metrics.Register(keeper.Expiry), mgr.Add(poller), mgr.Add(keeper), mgr.Add(api))
	if err != nil {
		return nil, err
	}
	kinds := []trail.Kind{trail.Namespaced{}, organizationtrail.Kind{}}
	scheduler := &validation.Scheduler{
		Client: mgr.GetClient(), Direct: direct, Config: o.Config, Installation: made, Rendered: made.Publisher, Receiver: o.Receiver, Kinds: kinds,
		Clock: o.Clock, Metrics: validation.NewMetrics(), Interval: o.ValidationInterval,
	}
	if err := errors.Join(scheduler.Metrics.Register(o.Metrics), mgr.Add(scheduler)); err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		trails := &trail.Reconciler{
			Kind: kind, Client: mgr.GetClient(), Config: o.Config, Installation: made, Open: o.Open,
			Receiver: o.Receiver, Events: mgr.GetEventRecorder("trail-controller"), Clock: o.Clock, Poller: poller,
		}
		if err := trails.SetupWithManager(mgr); err != nil {
			return nil, err
		}
	}
	selectors := &eventselector.Reconciler{
		Client: mgr.GetClient(), Namespace: o.Config.Namespace, Events: mgr.GetEventRecorder("eventselector-controller"), Clock: o.Clock,
	}
	if err := selectors.SetupWithManager(mgr); err != nil {
		return nil, err
	}
	if made.Receiver == nil {
		return mgr, nil
	}
	run := &receiver.Reconciler{
		Client: mgr.GetClient(), Objects: made.Receiver, ClusterIP: made.ClusterIP, Events: mgr.GetEventRecorder("receiver-controller"),
	}
	return mgr, run.SetupWithManager(mgr)
}
