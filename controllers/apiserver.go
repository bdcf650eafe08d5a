package controllers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// The API server keeps its own addresses in one EndpointSlice, always of this name.
//
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,resourceNames=kubernetes,verbs=get

// apiServerInterval is how often its addresses are looked at: instances come and
// go with their machines.
const apiServerInterval = time.Minute

// apiServer knows the addresses of the API server: those by which the manager
// and pods reach it, and those of its instances.
type apiServer struct {
	client client.Reader
	config *rest.Config
	now    atomic.Pointer[[]string]
}

// hosts are the addresses as they were last seen.
func (a *apiServer) hosts() []string { return *a.now.Load() }

// look looks anew. On an error the last addresses stay.
func (a *apiServer) look(ctx context.Context) error {
	hosts, err := apiServerHosts(ctx, a.client, a.config)
	if err == nil {
		a.now.Store(&hosts)
	}
	return err
}

// Start looks again and again until ctx is done.
func (a *apiServer) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("apiserver")
	failed := false
	ticker := time.NewTicker(apiServerInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := a.look(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			log.Error(err, "Trails may not use the addresses that the API server had before")
		}
		failed = err != nil
	}
}

func apiServerHosts(ctx context.Context, c client.Reader, cfg *rest.Config) ([]string, error) {
	hosts := []string{"kubernetes.default.svc:443"}
	if u, err := url.Parse(cfg.Host); err == nil && u.Host != "" {
		host := u.Host
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "443")
		}
		hosts = append(hosts, host)
	}
	if host := os.Getenv("KUBERNETES_SERVICE_HOST"); host != "" {
		hosts = append(hosts, net.JoinHostPort(host, os.Getenv("KUBERNETES_SERVICE_PORT")))
	}
	var slice discoveryv1.EndpointSlice
	key := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}
	// There is none where the API server listens on loopback only.
	if err := client.IgnoreNotFound(c.Get(ctx, key, &slice)); err != nil {
		return nil, fmt.Errorf("reading the EndpointSlice %s, which holds the addresses of the API server: %w", key, err)
	}
	var instances []string
	for _, e := range slice.Endpoints {
		for _, address := range e.Addresses {
			for _, p := range slice.Ports {
				if p.Port != nil {
					instances = append(instances, net.JoinHostPort(address, strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	slices.Sort(instances) // so that a restart renders nothing anew
	return append(hosts, instances...), nil
}
