package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// connect serves answers by path as an API server does, and returns the
// cluster that a kubeconfig for it chooses.
func connect(t *testing.T, answers map[string]any) (Cluster, *genericclioptions.ConfigFlags, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Warning", `299 - "v1alpha1 is old"`)
		if s, ok := answer.(metav1.Status); ok {
			s.Kind, s.APIVersion = "Status", "v1"
			answer = s
			w.WriteHeader(int(s.Code))
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {}}]
contexts:
- {name: here, context: {cluster: c, user: u, namespace: shop}}
- {name: there, context: {cluster: c, user: u}}
current-context: here
`, server.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig = &path
	var warnings bytes.Buffer
	return New(flags, &warnings), flags, &warnings
}

const trailsPath = "/apis/trail-operator.io/v1alpha1/namespaces/shop/trails"

func trail(name string) *v1alpha1.Trail {
	return &v1alpha1.Trail{
		TypeMeta:   metav1.TypeMeta{APIVersion: "trail-operator.io/v1alpha1", Kind: "Trail"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
	}
}

func TestTrail(t *testing.T) {
	c, _, warnings := connect(t, map[string]any{
		trailsPath + "/audit":  trail("audit"),
		trailsPath + "/absent": apierrors.NewNotFound(schema.GroupResource{Group: "trail-operator.io", Resource: "trails"}, "absent").Status(),
		trailsPath + "/secret": apierrors.NewForbidden(schema.GroupResource{Group: "trail-operator.io", Resource: "trails"}, "secret", errors.New("raw answer")).Status(),
		trailsPath + "/who":    apierrors.NewUnauthorized("raw answer").Status(),
		trailsPath + "/slow":   apierrors.NewTimeoutError("raw answer", 1).Status(),
		trailsPath + "/broken": apierrors.NewInternalError(errors.New("etcd\nis\x1bout")).Status(),
	})
	got, err := Trail(t.Context(), c, "audit")
	if err != nil || got.Name != "audit" || got.Kind != "Trail" {
		t.Fatalf("got %v and %v", got, err)
	}
	if warnings.String() != "Warning: v1alpha1 is old\n" {
		t.Errorf("the warnings are %q", warnings)
	}
	for name, want := range map[string]string{
		"absent": `there is no trail named "absent" in namespace "shop"; look for it with`,
		"secret": "you may not get trails.trail-operator.io in namespace \"shop\"; ask for a Role that allows it, and check with `kubectl auth can-i get trails.trail-operator.io -n shop`",
		"who":    "the API server does not accept your credentials; log in again",
		"slow":   "did not answer in time",
		"broken": "etcd is out",
		"nokind": "this cluster does not know the kind Trail; install Trail Operator",
	} {
		_, err := Trail(t.Context(), c, name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
			continue
		}
		if strings.ContainsAny(err.Error(), "\n\x1b") || strings.Contains(err.Error(), "raw answer") {
			t.Errorf("%s: the error is %q", name, err)
		}
	}
}

func TestNamespaceAndContext(t *testing.T) {
	c, flags, _ := connect(t, nil)
	if ns, err := c.Namespace(); err != nil || ns != "shop" {
		t.Errorf("the namespace is %q, %v", ns, err)
	}
	got, _ := CompleteContext(flags)(nil, nil, "")
	if diff := cmp.Diff([]string{"here", "there"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnusableConfiguration(t *testing.T) {
	flags := genericclioptions.NewConfigFlags(true)
	path := filepath.Join(t.TempDir(), "absent")
	flags.KubeConfig = &path
	c := New(flags, &bytes.Buffer{})
	_, nsErr := c.Namespace()
	_, clientErr := c.Client()
	for _, err := range []error{nsErr, clientErr} {
		if err == nil || !strings.Contains(err.Error(), "choose one with --kubeconfig and --context") {
			t.Errorf("got %v", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	c, _, _ := connect(t, nil)
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = Request{Verb: "list", Resource: TrailResource}.Explain(cl.List(ctx, &v1alpha1.TrailList{}))
	if err == nil || err.Error() != "interrupted" {
		t.Errorf("got %v", err)
	}
	err = Request{Verb: "list", Resource: TrailResource}.Explain(&url.Error{Op: "Get", URL: "https://user:pw@host:6443/x?token=1", Err: errors.New("no route\nto host")})
	if want := "the API server host:6443 cannot be reached: no route to host; check --kubeconfig and --context"; err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestListNotFoundMeansNotInstalled(t *testing.T) {
	c, _, _ := connect(t, nil)
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	err = Request{Verb: "list", Resource: TrailResource}.Explain(cl.List(t.Context(), &v1alpha1.TrailList{}))
	if err == nil || !strings.Contains(err.Error(), "install Trail Operator") {
		t.Errorf("got %v", err)
	}
}

func TestCompletion(t *testing.T) {
	answers := map[string]any{
		trailsPath: &v1alpha1.TrailList{Items: []v1alpha1.Trail{*trail("audit"), *trail("billing")}},
		"/api/v1/namespaces": &corev1.NamespaceList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"},
			Items:    []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "bank"}}, {ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
		},
	}
	tenant, _, _ := connect(t, answers)
	both := maps.Clone(answers)
	both[organizationsPath] = &v1alpha1.OrganizationTrailList{Items: []v1alpha1.OrganizationTrail{*organizationTrail("all")}}
	c, _, _ := connect(t, both)
	none, _, _ := connect(t, nil)
	cmd := &cobra.Command{}
	for name, tc := range map[string]struct {
		complete cobra.CompletionFunc
		args     []string
		typed    string
		want     []string
	}{
		"trails":        {CompleteTrail(c), nil, "", []string{"audit", "billing", "organizationtrail/all"}},
		"of a tenant":   {CompleteTrail(tenant), nil, "", []string{"audit", "billing"}},
		"trail/":        {CompleteTrail(c), nil, "trail/a", []string{"trail/audit", "trail/billing"}},
		"otrl/":         {CompleteTrail(c), nil, "otrl/", []string{"otrl/all"}},
		"another kind/": {CompleteTrail(c), nil, "pod/", nil},
		"second trail":  {CompleteTrail(c), []string{"audit"}, "", nil},
		"namespaces":    {CompleteNamespace(c), nil, "", []string{"bank", "shop"}},
		"error":         {CompleteTrail(none), nil, "", nil},
	} {
		got, directive := tc.complete(cmd, tc.args, tc.typed)
		if diff := cmp.Diff(tc.want, got); diff != "" || directive != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("%s: %s %v", name, diff, directive)
		}
	}
}

func TestReadInstallation(t *testing.T) {
	c, _, _ := connect(t, map[string]any{
		"/api/v1/namespaces/ops/configmaps/trail-installation": &corev1.ConfigMap{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			Data:     map[string]string{"account": "000000000042", "receiverURL": "https://r:1", "manager": "m"},
		},
	})
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadInstallation(t.Context(), cl, "ops")
	if want := (Installation{Account: "000000000042", ReceiverURL: "https://r:1", Manager: "m"}); err != nil || got != want {
		t.Errorf("got %v and %v", got, err)
	}
	if _, err := ReadInstallation(t.Context(), cl, "else"); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestOneLineIsBounded(t *testing.T) {
	if got := oneLine(strings.Repeat("ä ", 1000)); len([]rune(got)) != 301 {
		t.Errorf("%d characters", len([]rune(got)))
	}
}
