// Package installcheck finds out, from inside the cluster and with the rights
// of the manager, whether an installation works.
package installcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverclient"
)

// interval between two tries of a check.
const interval = 2 * time.Second

// Options of Run. All but Interval are required.
type Options struct {
	Cluster *rest.Config
	Config  *managerconfig.Config
	Clock   clock.Clock
	// Out is told what was found, a line for each check.
	Out io.Writer
	// Interval between two tries; 0 means two seconds.
	Interval time.Duration
}

// Run repeats each check until it passes, and returns nil when all have. When
// ctx ends first, the error says what does not work, and what to do.
func Run(ctx context.Context, o Options) error {
	if o.Interval == 0 {
		o.Interval = interval
	}
	i, err := connect(o)
	if err != nil {
		return err
	}
	for _, check := range []struct {
		name string
		do   func(context.Context) (found string, err error)
	}{
		{"kinds", i.kinds},
		{"manager", i.manager},
		{"receiver", i.receiver},
	} {
		found, err := i.repeat(ctx, check.do)
		if err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
		fmt.Fprintf(o.Out, "ok  %-8s  %s\n", check.name, found)
	}
	return nil
}

type installation struct {
	Options
	client    client.Client
	discovery discovery.DiscoveryInterface
}

func connect(o Options) (*installation, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(o.Cluster)
	if err != nil {
		return nil, err
	}
	// Its discovery is lazy, so an API server that is away is met by a check.
	c, err := client.New(o.Cluster, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &installation{Options: o, client: c, discovery: kinds}, nil
}

// repeat tries until check passes. When the time is over, the last error that
// the check itself has found is what is wrong.
func (i *installation) repeat(ctx context.Context, check func(context.Context) (string, error)) (string, error) {
	var last error
	for {
		found, err := check(ctx)
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() == nil || last == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return "", last
		case <-i.Clock.After(i.Interval):
		}
	}
}

// kinds: the API server serves what users write, and lets the manager read it.
func (i *installation) kinds(ctx context.Context) (string, error) {
	served, err := i.discovery.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("asking the API server for its kinds: %w", err)
	}
	var missing []string
	for _, want := range []string{"trails", "organizationtrails", "eventselectors"} {
		if served == nil || !slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == want }) {
			missing = append(missing, want+"."+v1alpha1.GroupVersion.Group)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("the API server does not serve %s: install the CustomResourceDefinitions, of which the chart's value crds.enabled is one way",
			strings.Join(missing, ", "))
	}
	var trails v1alpha1.TrailList
	if err := i.client.List(ctx, &trails, client.Limit(1)); err != nil {
		return "", fmt.Errorf("listing trails with the rights of the manager: %w", err)
	}
	return "the API server serves Trail, OrganizationTrail and EventSelector", nil
}

// manager: one leads, now, and has made what the installation needs.
func (i *installation) manager(ctx context.Context) (string, error) {
	holder := "the manager"
	if i.Config.LeaderElection {
		var lease coordinationv1.Lease
		if err := i.get(ctx, manifests.LeaseName, &lease); err != nil {
			return "", fmt.Errorf("no manager has started: %w", err)
		}
		s := lease.Spec
		if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil ||
			i.Clock.Since(s.RenewTime.Time) > time.Duration(*s.LeaseDurationSeconds)*time.Second {
			return "", errors.New("no manager runs: nobody renews its lease; see `kubectl get pods` and the logs of deployment/trail-manager")
		}
		holder, _, _ = strings.Cut(*s.HolderIdentity, "_")
	}
	var made corev1.ConfigMap
	if err := i.get(ctx, manifests.InstallationName, &made); err != nil {
		return "", fmt.Errorf("no manager has set up the installation: %w", err)
	}
	if made.Data[manifests.InstallationRegion] != i.Config.Region {
		return "", fmt.Errorf("the manager has set up region %q, the configuration says %q: it has not restarted since that was changed",
			made.Data[manifests.InstallationRegion], i.Config.Region)
	}
	return fmt.Sprintf("%s runs account %s in region %s", holder, made.Data[manifests.InstallationAccount], i.Config.Region), nil
}

// receiver: it is reached with the certificates that the manager has made, has
// loaded what the manager has rendered, and has room.
func (i *installation) receiver(ctx context.Context) (string, error) {
	var ca, cert corev1.Secret
	if err := errors.Join(i.get(ctx, manifests.IntakeCAName, &ca), i.get(ctx, manifests.ManagerCertName, &cert)); err != nil {
		return "", fmt.Errorf("the manager's certificates: %w", err)
	}
	trusted, _ := manifests.ReadCertificate(&ca)
	_, pair := manifests.ReadCertificate(&cert)
	c, err := receiverclient.New(i.Config.Receiver.Address, trusted, pair)
	if err != nil {
		return "", err
	}
	defer c.Close()
	s, err := c.Status(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", i.Config.Receiver.Address, err)
	case s.ConfigError != "":
		return "", fmt.Errorf("it refuses its configuration: %s", s.ConfigError)
	case s.Generation == 0:
		return "", errors.New("it has no configuration yet")
	case s.Spool.Full:
		return "", errors.New("its volume is full")
	}
	posted := "no API server has sent events yet: see `kubectl trail webhook-config --help`"
	if n := len(s.Intake.Sources); n > 0 {
		posted = fmt.Sprintf("%d API servers have sent %d events", n, s.Intake.Received)
	}
	return fmt.Sprintf("%s runs configuration %d; %s", host(i.Config.Receiver.Address), s.Generation, posted), nil
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

func (i *installation) get(ctx context.Context, name string, into client.Object) error {
	return i.client.Get(ctx, client.ObjectKey{Namespace: i.Config.Namespace, Name: name}, into)
}
