//go:build linux

package e2e

import (
	"context"
	"testing"
)

// shop is the trail of most scenarios.
var shop = trail{"shop", "audit"}

// firstTrail: a tenant asks for a trail, works, and finds that in the bucket.
func firstTrail(ctx context.Context, t *testing.T, e *environment) {
	tenant := e.createTenant(ctx, t, shop.namespace)
	e.createTrail(ctx, t, tenant, shop)
	tenant.kubectl(ctx, t, "create", "configmap", "first", "-n", shop.namespace)
	e.root.kubectl(ctx, t, "create", "configmap", "elsewhere", "-n", "default")
	e.waitFor(ctx, t, shop, want{name: "CreateConfigMap", resource: "configmaps/first", user: "shop-admin"})
	for _, r := range e.recordsOf(ctx, t, shop) {
		if hasResource(&r, "configmaps/elsewhere") {
			t.Errorf("the trail holds an event of another namespace: %s", r.EventName)
		}
	}
	e.seal(ctx, t, shop)
}
