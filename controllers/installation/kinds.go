package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

const (
	kindsInterval = time.Minute
	maxKinds      = 5000
)

// Kinds tells the receiver the kinds of the cluster's resources, by which it
// names events. The receiver itself does not talk to the API server.
type Kinds struct {
	Discovery discovery.DiscoveryInterface
	Publisher *Publisher
}

// NeedLeaderElection says that only the leader renders.
func (k *Kinds) NeedLeaderElection() bool { return true }

// Start looks for new kinds every minute until ctx is done.
func (k *Kinds) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("kinds")
	ticker := time.NewTicker(kindsInterval)
	defer ticker.Stop()
	for {
		if err := k.update(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "The receiver does not learn of new kinds")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (k *Kinds) update(ctx context.Context) error {
	_, resources, err := k.Discovery.ServerGroupsAndResources()
	var partly *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partly) {
		return fmt.Errorf("discovering the kinds of the cluster: %w", err)
	}
	list := kindsOf(resources)
	if partly != nil { // an aggregated API that is away keeps its names
		rendered, err := k.Publisher.Kinds(ctx)
		if err != nil {
			return err
		}
		for _, old := range rendered {
			if failed(partly, old.Group) && !slices.Contains(list, old) {
				list = append(list, old)
			}
		}
	}
	slices.SortFunc(list, func(a, b receiverconfig.Kind) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Resource, b.Resource))
	})
	list = list[:min(len(list), maxKinds)]
	return k.Publisher.SetKinds(ctx, list)
}

func failed(e *discovery.ErrGroupDiscoveryFailed, group string) bool {
	for gv := range e.Groups {
		if gv.Group == group {
			return true
		}
	}
	return false
}

// kindsOf lists each resource once, whatever versions it has. Subresources
// are named after their resource.
func kindsOf(lists []*metav1.APIResourceList) []receiverconfig.Kind {
	var kinds []receiverconfig.Kind
	seen := map[schema.GroupResource]bool{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			gr := schema.GroupResource{Group: gv.Group, Resource: r.Name}
			if strings.Contains(r.Name, "/") || seen[gr] {
				continue
			}
			seen[gr] = true
			kinds = append(kinds, receiverconfig.Kind{Group: gv.Group, Resource: r.Name, Kind: r.Kind})
		}
	}
	return kinds
}
