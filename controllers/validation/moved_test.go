package validation

import (
	"context"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

type elsewhere struct{ bucket, prefix string }

func (e *elsewhere) Trail(_ context.Context, uid string) (receiverconfig.Trail, bool, error) {
	return receiverconfig.Trail{UID: uid, Destination: receiverconfig.Destination{Bucket: e.bucket, Prefix: e.prefix, AccessKeyID: "k", SecretAccessKey: "s"}}, true, nil
}

// TestMoved: digests of a place that a trail has left are not asked for where it
// delivers to now.
func TestMoved(t *testing.T) {
	for name, to := range map[string]elsewhere{"bucket": {"new", ""}, "prefix": {"logs", "a"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, audit("shop", "u1"))
			place := &elsewhere{bucket: "logs"}
			w.Rendered = place
			w.step(0)
			w.end(w.job(), valid, 0, "Completed")
			w.step(time.Minute)
			*place = to
			w.change("shop", func(tr *v1alpha1.Trail) {
				tr.Spec.Destination.Bucket, tr.Spec.Destination.Prefix = to.bucket, to.prefix
			})
			w.step(18 * time.Hour)
			if n := len(w.list()); n != 0 {
				t.Fatalf("%d Jobs ask for a digest that lies elsewhere", n)
			}
			w.change("shop", func(tr *v1alpha1.Trail) {
				tr.Status.Head = headAt(noon.Add(18*time.Hour), 1)
				tr.Status.Head.S3Bucket = to.bucket
				if to.prefix != "" {
					tr.Status.Head.S3Object = to.prefix + "/AWSLogs/1/CloudTrail-Digest/x"
				}
			})
			w.step(time.Minute)
			if in := w.input(w.job()); len(in.Heads) != 1 || in.Heads[0].Bucket != to.bucket || !in.From.Equal(w.clock.Now().AddDate(0, 0, -90).Truncate(time.Hour)) {
				t.Errorf("the pod is given %+v from %v", in.Heads, in.From)
			}
		})
	}
}
