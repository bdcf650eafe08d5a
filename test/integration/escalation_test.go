package integration

import (
	"context"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// TestTenantCannotBecomeMore: whoever administers a namespace reaches no
// OrganizationTrail by being somebody else, by giving rights to somebody, or
// through a subresource that only RBAC knows.
func TestTenantCannotBecomeMore(t *testing.T) {
	ns := namespace(t, "escalation")
	cfg := token(t, ns, "admin")
	c, err := newClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o := &v1alpha1.OrganizationTrail{ObjectMeta: metav1.ObjectMeta{Name: "escalation", Finalizers: []string{"test/keep"}}}
	o.Spec.Destination.Bucket = "escalation"
	if err := admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
		if err := admin.Patch(ctx, o.DeepCopy(), patch); err != nil {
			t.Error(err)
		}
		if err := admin.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}

	for what, as := range map[string]rest.ImpersonationConfig{
		"the manager":      {UserName: managerUser},
		"an administrator": {UserName: "kubernetes-admin"},
		"a group":          {UserName: "system:serviceaccount:" + ns + ":admin", Groups: []string{"system:masters"}},
		"a node":           {UserName: "system:node:any", Groups: []string{"system:nodes"}},
		"another tenant":   {UserName: "system:serviceaccount:default:default"},
	} {
		other := rest.CopyConfig(cfg)
		other.Impersonate = as
		i, err := newClient(other)
		if err != nil {
			t.Fatal(err)
		}
		forbidden("acting as "+what, i.List(t.Context(), &v1alpha1.OrganizationTrailList{}))
		forbidden("acting as "+what, i.List(t.Context(), &corev1.SecretList{}, client.InNamespace(installed)))
	}

	me := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "admin"}}
	for _, role := range []string{"organizationtrail-editor", "organizationtrail-viewer", "trail-operator-manager", "cluster-admin"} {
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
		if err := admin.Get(t.Context(), client.ObjectKey{Name: role}, &rbacv1.ClusterRole{}); err != nil {
			t.Fatal(err)
		}
		meta := metav1.ObjectMeta{Namespace: ns, Name: "more-" + role}
		forbidden("binding "+role, c.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: me}))
		meta.Namespace = installed
		forbidden("binding in the operator's namespace "+role, c.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: me}))
		meta.Namespace = ""
		forbidden("binding for the cluster "+role, c.Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: me}))
	}
	for what, rule := range map[string]rbacv1.PolicyRule{
		"OrganizationTrails": {APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"organizationtrails"}, Verbs: []string{"get"}},
		"the status":         {APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"trails/status"}, Verbs: []string{"patch"}},
		"everything of ours": {APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"*"}, Verbs: []string{"*"}},
		"escalation":         {APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"escalate", "bind"}},
		"impersonation":      {APIGroups: []string{""}, Resources: []string{"users", "groups"}, Verbs: []string{"impersonate"}},
	} {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "more"}, Rules: []rbacv1.PolicyRule{rule}}
		forbidden("a role with "+what, c.Create(t.Context(), role))
		cluster := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Rules: role.Rules}
		forbidden("a role of the cluster with "+what, c.Create(t.Context(), cluster))
	}
	// The token that the manager's pod has.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: "trail-operator-manager"}}
	forbidden("a token of the manager", c.SubResource("token").Create(t.Context(), account, &authenticationv1.TokenRequest{}))

	// What no URL has: verbs and subresources that only RBAC knows.
	for _, a := range []authorizationv1.ResourceAttributes{
		{Group: v1alpha1.GroupVersion.Group, Resource: "organizationtrails", Subresource: "finalizers", Verb: "update", Name: o.Name},
		{Group: v1alpha1.GroupVersion.Group, Resource: "trails", Subresource: "finalizers", Verb: "update", Namespace: ns},
		{Group: v1alpha1.GroupVersion.Group, Resource: "trails", Subresource: "status", Verb: "patch", Namespace: ns},
		{Group: rbacv1.GroupName, Resource: "clusterroles", Verb: "bind", Name: "organizationtrail-editor"},
		{Group: rbacv1.GroupName, Resource: "clusterroles", Verb: "escalate"},
		{Group: rbacv1.GroupName, Resource: "roles", Verb: "escalate", Namespace: ns},
		{Group: rbacv1.GroupName, Resource: "roles", Verb: "bind", Namespace: ns},
		{Resource: "users", Verb: "impersonate"},
		{Resource: "groups", Verb: "impersonate", Name: "system:masters"},
		{Resource: "serviceaccounts", Verb: "impersonate", Namespace: installed},
		{Group: v1alpha1.GroupVersion.Group, Resource: "*", Verb: "*"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}
		if err := c.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed {
			t.Errorf("the tenant may %s %s/%s %q in %q", a.Verb, a.Resource, a.Subresource, a.Name, a.Namespace)
		}
	}
	// The client works, or all of this would prove nothing.
	if err := c.List(t.Context(), &v1alpha1.TrailList{}, client.InNamespace(ns)); err != nil {
		t.Error(err)
	}
}
