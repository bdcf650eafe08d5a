package integration

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// aggregated are the built-in roles, each with those whose rules it includes:
// the controller that copies rules together does not run here.
var aggregated = map[string][]string{
	"admin": {"admin", "edit", "view"},
	"edit":  {"edit", "view"},
	"view":  {"view"},
}

// token is a service account of a namespace that holds a built-in role there,
// and its client with a token, as any pod or person of the tenant has one.
func token(t *testing.T, ns, role string) *rest.Config {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: role}}
	if err := admin.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	var roles rbacv1.ClusterRoleList
	if err := admin.List(t.Context(), &roles); err != nil {
		t.Fatal(err)
	}
	for _, r := range roles.Items {
		for _, included := range aggregated[role] {
			if r.Name != included && r.Labels["rbac.authorization.k8s.io/aggregate-to-"+included] != "true" {
				continue
			}
			binding := &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: role + "-" + included + "-" + strings.ReplaceAll(r.Name, ":", ".")},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: role}},
			}
			if err := admin.Create(t.Context(), binding); err != nil {
				t.Fatal(err)
			}
		}
	}
	request := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(controlPlane.Config)
	cfg.BearerToken, cfg.QPS = request.Status.Token, -1
	return cfg
}

// target is a resource, perhaps a subresource, as the API server serves it.
type target struct {
	group, version, resource string
	namespaced               bool
	verbs                    []string
}

func (r target) String() string { return strings.TrimSuffix(r.resource+"."+r.group, ".") }

// discovered are all resources of the API server.
func discovered(t *testing.T) (all []target) {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		group, version, ok := strings.Cut(l.GroupVersion, "/")
		if !ok {
			group, version = "", l.GroupVersion
		}
		for _, r := range l.APIResources {
			all = append(all, target{group, version, r.Name, r.Namespaced, r.Verbs})
		}
	}
	return all
}

// path of a resource, of one object if there is a name, in a namespace if there is one.
func (r target) path(ns, name string) string {
	p := "/apis/" + r.group + "/" + r.version
	if r.group == "" {
		p = "/api/" + r.version
	}
	if ns != "" {
		p += "/namespaces/" + ns
	}
	resource, sub, _ := strings.Cut(r.resource, "/")
	p += "/" + resource
	if sub != "" && name == "" {
		name = "any" // a subresource is always one object's
	}
	if name != "" {
		p += "/" + name
	}
	if sub != "" {
		p += "/" + sub
	}
	return p
}

// attempts are the requests of every verb; RBAC decides them before anything
// looks at their bodies. None would change anything if it were allowed.
var attempts = map[string]struct {
	method, query string
	named         bool
}{
	"get":              {http.MethodGet, "", true},
	"list":             {http.MethodGet, "", false},
	"watch":            {http.MethodGet, "watch=1&timeoutSeconds=1", false},
	"create":           {http.MethodPost, "dryRun=All", false},
	"update":           {http.MethodPut, "dryRun=All", true},
	"patch":            {http.MethodPatch, "dryRun=All", true},
	"delete":           {http.MethodDelete, "dryRun=All", true},
	"deletecollection": {http.MethodDelete, "dryRun=All", false},
}

// try sends the request of a verb and returns its status code.
func try(t *testing.T, c rest.Interface, r target, verb, ns, name string) int {
	t.Helper()
	a := attempts[verb]
	if !a.named {
		name = ""
	}
	request := c.Verb(a.method).AbsPath(r.path(ns, name))
	for pair := range strings.SplitSeq(a.query, "&") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			request = request.Param(key, value)
		}
	}
	if a.method == http.MethodPatch {
		request = request.SetHeader("Content-Type", "application/merge-patch+json")
	}
	if a.method != http.MethodGet {
		request = request.Body([]byte(`{}`))
	}
	code := 0
	request.Do(t.Context()).StatusCode(&code)
	return code
}

// possible reports whether the URL of a verb exists: a subresource is always one
// object's, and that of listing, watching and deleting many would be that of get and delete.
func (r target) possible(verb string) bool {
	return !strings.Contains(r.resource, "/") || attempts[verb].named || verb == "create"
}

// TestTenantIsolation tries, with a token of a tenant's service account, every
// verb on every resource that is not the tenant's: what is cluster-scoped of our
// group, whatever the operator's namespace holds, and our kinds in the
// namespaces of others. The resources are those that the API server serves, so
// that a new kind is not forgotten.
func TestTenantIsolation(t *testing.T) {
	ns, other := namespace(t, "isolated"), namespace(t, "isolated-other")
	o := &v1alpha1.OrganizationTrail{ObjectMeta: metav1.ObjectMeta{Name: "isolation"}}
	o.Spec.Destination.Bucket = "isolation"
	if err := admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), o) })
	all := discovered(t)
	for role := range aggregated {
		t.Run(role, func(t *testing.T) {
			cfg := token(t, ns, role)
			clients, err := kubernetes.NewForConfig(cfg)
			if err != nil {
				t.Fatal(err)
			}
			c := clients.CoreV1().RESTClient()
			tried := 0
			forbidden := func(r target, ns, name string) {
				t.Helper()
				for verb := range attempts {
					if !r.possible(verb) {
						continue
					}
					tried++
					if code := try(t, c, r, verb, ns, name); code != http.StatusForbidden {
						t.Errorf("%s %s %q in %q: %d, want 403", verb, r, name, ns, code)
					}
				}
			}
			for _, r := range all {
				ours := r.group == v1alpha1.GroupVersion.Group
				switch {
				case ours && !r.namespaced:
					forbidden(r, "", "isolation")
				case r.namespaced:
					forbidden(r, installed, "any")
				}
				if ours && r.namespaced {
					forbidden(r, other, "any")
					for _, verb := range []string{"list", "watch"} { // of all namespaces
						if r.possible(verb) && try(t, c, r, verb, "", "") != http.StatusForbidden {
							t.Errorf("%s %s of all namespaces is allowed", verb, r)
						}
					}
				}
			}
			if tried < 300 {
				t.Errorf("only %d requests were tried", tried)
			}
			// The token is good, or all of this would prove nothing.
			for _, r := range all {
				if r.group == v1alpha1.GroupVersion.Group && r.namespaced && !strings.Contains(r.resource, "/") {
					if code := try(t, c, r, "list", ns, ""); code != http.StatusOK {
						t.Errorf("list %s in the own namespace: %d", r, code)
					}
					want := http.StatusForbidden
					if role == "admin" {
						want = http.StatusUnprocessableEntity // the body is empty
					}
					if code := try(t, c, r, "create", ns, ""); (code == http.StatusForbidden) != (want == http.StatusForbidden) {
						t.Errorf("create %s in the own namespace: %d, want %d", r, code, want)
					}
				}
				// A status is the operator's to write: it holds the head of the chain.
				if r.group == v1alpha1.GroupVersion.Group && r.namespaced && strings.HasSuffix(r.resource, "/status") {
					for _, verb := range []string{"update", "patch"} {
						if code := try(t, c, r, verb, ns, "any"); code != http.StatusForbidden {
							t.Errorf("%s %s in the own namespace: %d, want 403", verb, r, code)
						}
					}
				}
			}
		})
	}
}

// TestRolesCoverEveryKind: of each kind that the API server serves, the roles in
// config/rbac say who may see and change it; those of cluster-scoped kinds are
// part of no role of a namespace, and nobody's role writes a status or holds
// more than the verbs of users.
func TestRolesCoverEveryKind(t *testing.T) {
	type roles struct{ view, edit []string }
	of := map[string]*roles{} // by resource
	paths, err := filepath.Glob("../../config/rbac/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	aggregates := map[string]bool{} // resources that reach a role of a namespace
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(raw), "\n---\n") {
			var r rbacv1.ClusterRole
			if err := yaml.Unmarshal([]byte(doc), &r); err != nil {
				t.Fatal(err)
			}
			if r.Kind != "ClusterRole" || !strings.HasSuffix(r.Name, "-viewer") && !strings.HasSuffix(r.Name, "-editor") {
				for label := range r.Labels {
					if strings.Contains(label, "aggregate-to-") {
						t.Errorf("%s aggregates and is neither a viewer nor an editor", r.Name)
					}
				}
				continue
			}
			for _, rule := range r.Rules {
				for _, resource := range rule.Resources {
					if of[resource] == nil {
						of[resource] = &roles{}
					}
					if strings.HasSuffix(r.Name, "-viewer") {
						of[resource].view = append(of[resource].view, rule.Verbs...)
					} else {
						of[resource].edit = append(of[resource].edit, rule.Verbs...)
					}
					if len(r.Labels) > 0 {
						aggregates[resource] = true
					}
				}
			}
		}
	}
	reading := []string{"get", "list", "watch"}
	for _, r := range discovered(t) {
		if r.group != v1alpha1.GroupVersion.Group {
			continue
		}
		got := of[r.resource]
		if got == nil {
			t.Errorf("no role in config/rbac names %s", r)
			continue
		}
		delete(of, r.resource)
		for _, verb := range reading {
			if !slices.Contains(got.view, verb) {
				t.Errorf("a viewer may not %s %s", verb, r)
			}
		}
		for _, verb := range got.view {
			if !slices.Contains(reading, verb) {
				t.Errorf("a viewer may %s %s", verb, r)
			}
		}
		if strings.Contains(r.resource, "/") {
			if len(got.edit) > 0 {
				t.Errorf("an editor may %v %s, which is the operator's to write", got.edit, r)
			}
		} else {
			for verb := range attempts {
				if !slices.Contains(got.edit, verb) {
					t.Errorf("an editor may not %s %s", verb, r)
				}
			}
			if len(got.edit) != len(attempts) {
				t.Errorf("an editor of %s holds %v", r, got.edit)
			}
		}
		if aggregates[r.resource] != r.namespaced {
			t.Errorf("%s reaches the roles of namespaces: %v", r, aggregates[r.resource])
		}
	}
	if len(of) > 0 {
		t.Errorf("roles name resources that do not exist: %v", slices.Sorted(maps.Keys(of)))
	}
}

// TestTenantGetsNothingThroughTrail: a Trail is no way to what a tenant's own
// permissions do not reach.
func TestTenantGetsNothingThroughTrail(t *testing.T) {
	e := startEnv(t)
	ns, other := tenant(t, "through"), tenant(t, "through-other")
	cfg := token(t, ns, "admin")
	c, err := newClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// What others have, under names that the tenant knows.
	for _, place := range []string{other, installed} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: place, Name: "theirs"}, StringData: map[string]string{
			v1alpha1.SecretAccessKeyID: "AKIA" + place, v1alpha1.SecretSecretAccessKey: "planted-secret",
		}}
		selection := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Namespace: place, Name: "theirs", Labels: map[string]string{"of": "them"}}}
		selection.Spec.Basic = []v1alpha1.BasicEventSelector{{}}
		for _, o := range []client.Object{s, selection} {
			if err := admin.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), o) })
		}
	}
	organization := &v1alpha1.OrganizationTrail{ObjectMeta: metav1.ObjectMeta{Name: "through"}}
	organization.Spec.Destination = v1alpha1.Destination{
		Bucket: "through-shared", Prefix: "cluster", CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "theirs"},
	}
	if err := admin.Create(t.Context(), organization); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		_, missing := ofCluster.ready(t, admin, organization.AsTrail(), "True Recording")
		return missing
	})
	t.Cleanup(func() { end(t, e, ofCluster, organization.AsTrail()) })

	for name, tc := range map[string]struct {
		change  func(*v1alpha1.Trail)
		refused string   // by the API server
		ready   string   // else
		says    []string // the condition Ready
	}{
		"another Secret": {
			change: func(t *v1alpha1.Trail) { t.Spec.Destination.CredentialsSecretRef.Name = "theirs" },
			ready:  "False CredentialsNotReadable", says: []string{"namespace: " + ns},
		},
		"a path to another Secret": {
			change:  func(t *v1alpha1.Trail) { t.Spec.Destination.CredentialsSecretRef.Name = "../" + other + "/theirs" },
			refused: "credentialsSecretRef",
		},
		"another EventSelector": {
			change: func(t *v1alpha1.Trail) { t.Spec.EventSelectorRefs = []v1alpha1.EventSelectorRef{{Name: "theirs"}} },
			ready:  "False EventSelectorNotFound",
		},
		"EventSelectors by their labels": {
			change: func(t *v1alpha1.Trail) {
				t.Spec.EventSelectorLabels = &metav1.LabelSelector{MatchLabels: map[string]string{"of": "them"}}
			},
			ready: "False EventSelectorNotFound",
		},
		"the operator's identity": {
			change: func(t *v1alpha1.Trail) { t.Spec.Destination.CredentialsSecretRef = nil },
			ready:  "False NoCredentials",
		},
		"the organization trail's prefix": {
			change: func(t *v1alpha1.Trail) {
				t.Spec.Destination.Bucket, t.Spec.Destination.Prefix = "through-shared", "cluster"
			},
			ready: "False Conflict",
		},
		"a prefix above all": {
			change:  func(t *v1alpha1.Trail) { t.Spec.Destination.Prefix = "AWSLogs/o-0123456789" },
			refused: "must not contain the element AWSLogs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("t%x", len(name)*1000+int(name[0]))}}
			trail.Spec.Destination = v1alpha1.Destination{Bucket: ns, CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"}}
			tc.change(trail)
			err := c.Create(t.Context(), trail)
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want a refusal of %s", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			condition(t, trail, "Ready", tc.ready, tc.says...)
			if r := e.receiver.trail(string(trail.UID)); r != nil {
				t.Errorf("it is rendered with the access key %q", r.Destination.AccessKeyID)
			}
			if err := c.Delete(t.Context(), trail); err != nil {
				t.Fatal(err)
			}
			gone(t, trail)
		})
	}

	// What a Trail of the tenant is rendered with is bound to the namespace.
	trail := create(t, ns)
	condition(t, trail, "Ready", "True Recording")
	if r := e.receiver.trail(string(trail.UID)); r.Namespace != ns || r.Destination.AccessKeyID != "AKIA"+ns || r.Destination.Ambient {
		t.Errorf("it is rendered for the namespace %q with the access key %q", r.Namespace, r.Destination.AccessKeyID)
	}
}

// end deletes a trail whose receiver has delivered everything, when the test is over.
func end(t *testing.T, e *env, kind trailKind, of *v1alpha1.Trail) {
	ctx := context.WithoutCancel(t.Context())
	if err := admin.Delete(ctx, kind.Object(of)); err != nil {
		t.Error(err)
	}
	e.receiver.set(string(of.UID), func(s *receiverstatus.Trail) { s.Flushed = true })
	eventually(t, func() string {
		if _, err := kind.Get(ctx, admin, client.ObjectKeyFromObject(of)); apierrors.IsNotFound(err) {
			return ""
		}
		return "the end of the trail"
	})
}
