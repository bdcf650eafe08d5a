package controllers

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// sliced is an API server with the EndpointSlice default/kubernetes, or an error.
type sliced struct {
	client.Reader
	slice discoveryv1.EndpointSlice
	err   error
}

func (s sliced) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if key.String() == "default/kubernetes" {
		*into.(*discoveryv1.EndpointSlice) = s.slice
	}
	return s.err
}

func TestAPIServerHosts(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	port := int32(6443)
	always := []string{"kubernetes.default.svc:443", "api.example.com:443", "10.96.0.1:443"}
	for name, tc := range map[string]struct {
		api  sliced
		want []string
	}{
		"instances": {sliced{slice: discoveryv1.EndpointSlice{
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.8", "fd00::7"}}, {Addresses: []string{"192.0.2.7"}}},
			Ports:     []discoveryv1.EndpointPort{{Port: &port}, {}},
		}}, append(always[:3:3], "192.0.2.7:6443", "192.0.2.8:6443", "[fd00::7]:6443")},
		"none": {sliced{err: apierrors.NewNotFound(discoveryv1.Resource("endpointslices"), "kubernetes")}, always},
	} {
		got, err := apiServerHosts(t.Context(), tc.api, &rest.Config{Host: "https://api.example.com"})
		if d := cmp.Diff(tc.want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
	broken := errors.New("broken")
	moving := &sliced{slice: discoveryv1.EndpointSlice{
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.8"}}}, Ports: []discoveryv1.EndpointPort{{Port: &port}},
	}}
	api := &apiServer{client: moving, config: &rest.Config{Host: "https://api.example.com"}}
	for _, address := range []string{"192.0.2.8", "192.0.2.9", ""} {
		want := append(always[:3:3], address+":6443")
		if address == "" { // the last ones stay
			moving.err, want = broken, append(always[:3:3], "192.0.2.9:6443")
		} else {
			moving.slice.Endpoints[0].Addresses[0] = address
		}
		if err := api.look(t.Context()); !errors.Is(err, moving.err) {
			t.Error(err)
		}
		if d := cmp.Diff(want, api.hosts()); d != "" {
			t.Error(d)
		}
	}
	if _, err := apiServerHosts(t.Context(), sliced{err: broken}, &rest.Config{}); !errors.Is(err, broken) {
		t.Errorf("the manager starts without knowing what to deny: %v", err)
	}
}
