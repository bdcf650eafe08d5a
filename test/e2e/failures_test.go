//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// bucketOutage: the bucket's server is away while there are events. Nothing is
// lost and nothing comes twice.
func bucketOutage(ctx context.Context, t *testing.T, e *environment) {
	l := e.startLoad(ctx, shop.namespace, "outage")
	pause(ctx, 2*time.Second)
	e.s3.process.Kill()
	e.waitCondition(ctx, t, shop, v1alpha1.ConditionDelivering, metav1.ConditionFalse, v1alpha1.ReasonEndpointUnreachable)
	if err := e.s3.start(ctx); err != nil {
		t.Fatal(err)
	}
	e.arrive(ctx, t, shop, l.stop(t))
}

// receiverDeleted: the receiver's pod is deleted under load, once in order and
// once without notice; the API server holds the events meanwhile.
func receiverDeleted(ctx context.Context, t *testing.T, e *environment) {
	l := e.startLoad(ctx, shop.namespace, "receiver")
	for _, how := range [][]string{nil, {"--grace-period=0", "--force"}} {
		pause(ctx, 2*time.Second)
		e.root.kubectl(ctx, t, append([]string{"delete", "pod", "trail-receiver-0", "-n", operatorNamespace}, how...)...)
		e.waitRollout(ctx, t, "statefulset/trail-receiver")
	}
	pause(ctx, time.Second)
	e.arrive(ctx, t, shop, l.stop(t))
}

// nodeCrash: kubelet, containerd and all containers are killed under load.
func nodeCrash(ctx context.Context, t *testing.T, e *environment) {
	l := e.startLoad(ctx, shop.namespace, "crash")
	pause(ctx, 2*time.Second)
	if err := e.cluster.KillRuntime(); err != nil {
		t.Fatal(err)
	}
	pause(ctx, 2*time.Second)
	if err := e.cluster.StartRuntime(ctx); err != nil {
		t.Fatal(err)
	}
	e.waitReceiving(ctx, t, shop)
	e.arrive(ctx, t, shop, l.stop(t))
}

// powerLoss: the node loses its power, with the API server, the buckets' server
// and all. What was acknowledged is there afterwards, and the trail goes on.
func powerLoss(ctx context.Context, t *testing.T, e *environment) {
	l := e.startLoad(ctx, shop.namespace, "before-power-loss")
	pause(ctx, 4*time.Second)
	before := l.stop(t)
	// The API server posts within a second; what it holds in memory dies with it.
	pause(ctx, 3*time.Second)
	if err := e.cluster.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := e.cluster.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*bucketServer{e.s3, e.minio} {
		if err := s.start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	e.waitReceiving(ctx, t, shop)
	l = e.startLoad(ctx, shop.namespace, "after-power-loss")
	pause(ctx, 2*time.Second)
	after := l.stop(t)
	e.arrive(ctx, t, shop, append(before, after...))
	e.seal(ctx, t, shop)
}
