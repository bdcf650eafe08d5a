package installation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// aggregating is the discovery of a cluster with an aggregated API.
type aggregating struct {
	discovery.DiscoveryInterface
	away bool
}

func (a *aggregating) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	lists := []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "pods", Kind: "Pod"}, {Name: "pods/log", Kind: "Pod"},
	}}}
	if a.away {
		return nil, lists, &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{
			{Group: "metrics.k8s.io", Version: "v1"}: discovery.StaleGroupVersionError{},
		}}
	}
	return nil, append(lists, &metav1.APIResourceList{GroupVersion: "metrics.k8s.io/v1", APIResources: []metav1.APIResource{
		{Name: "pods", Kind: "PodMetrics"},
	}}), nil
}

// TestKindsOfAnAPIThatIsAway: its events keep their names, also when another
// manager leads meanwhile.
func TestKindsOfAnAPIThatIsAway(t *testing.T) {
	s := newSecrets(t)
	d := &aggregating{}
	if err := (&Kinds{Discovery: d, Publisher: newPublisher(t, s)}).update(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.away = true
	next := &Kinds{Discovery: d, Publisher: newPublisher(t, s)}
	for range 2 {
		if err := next.update(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := receiverconfig.Kinds{Snapshot: 1, List: []receiverconfig.Kind{
		{Resource: "pods", Kind: "Pod"}, {Group: "metrics.k8s.io", Resource: "pods", Kind: "PodMetrics"},
	}}
	if d := cmp.Diff(want, s.config(t).Kinds); d != "" {
		t.Error(d)
	}
}
