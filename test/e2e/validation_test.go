//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// validatedInCluster: the operator validates a trail in a pod of its own, which
// a real kubelet runs under the namespace's Pod Security and whose message it
// passes on, and nothing is left of it.
func validatedInCluster(ctx context.Context, t *testing.T, e *environment) {
	e.seal(ctx, t, shop) // there is a digest
	const annotation = v1alpha1.AnnotationValidateNow
	e.root.kubectl(ctx, t, append(append([]string{"annotate"}, shop.kubectl()...), annotation+"=now")...)
	e.waitCondition(ctx, t, shop, v1alpha1.ConditionValidated, metav1.ConditionTrue, v1alpha1.ReasonLogFilesValid)
	_, s, err := e.trailStatus(ctx, shop)
	if err != nil {
		t.Fatal(err)
	}
	if v := s.LastValidation; v == nil || v.LogFiles < 1 || v.Digests < 1 || !v.Full {
		t.Errorf("the last validation is %+v", v)
	}
	eventually(ctx, t, "the end of the Job", func() string {
		left := e.root.kubectl(ctx, t, "get", "jobs,pods,secrets", "-n", operatorNamespace, "-l", "app.kubernetes.io/name=trail-validation", "-o", "name")
		return strings.TrimSpace(left)
	})
	e.root.kubectl(ctx, t, append(append([]string{"annotate"}, shop.kubectl()...), annotation+"-")...)
}
