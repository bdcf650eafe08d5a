//go:build linux

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// upgrade: the operator becomes that of another chart with other images, under
// load, by the command of the installation guide.
func upgrade(ctx context.Context, t *testing.T, e *environment) {
	for _, binary := range []string{"manager", "receiver"} {
		if err := e.cluster.TagImage(ctx, "docker.io/"+image(binary, firstRelease), "docker.io/"+image(binary, secondRelease)); err != nil {
			t.Fatal(err)
		}
	}
	before := e.identities(ctx, t)
	if columns := e.columns(ctx, t); strings.Contains(columns, "Age") {
		t.Fatalf("the columns are %s, and the upgrade brings nothing", columns)
	}
	l := e.startLoad(ctx, shop.namespace, "upgrade")
	pause(ctx, 2*time.Second)
	e.helm(ctx, t, "upgrade", release, e.chart(secondRelease), "--reset-then-reuse-values")
	e.waitInstalled(ctx, t, secondRelease)
	e.waitReceiving(ctx, t, shop)
	pause(ctx, 2*time.Second)
	names := l.stop(t)
	e.arrive(ctx, t, shop, names)
	e.arrive(ctx, t, everything, names)
	if columns := e.columns(ctx, t); !strings.Contains(columns, "Age") {
		t.Errorf("the columns are %s: the CustomResourceDefinition is still that of before", columns)
	}
	if diff := cmp.Diff(before, e.identities(ctx, t)); diff != "" {
		t.Errorf("not all has survived the upgrade (-before +after):\n%s", diff)
	}
	e.seal(ctx, t, shop)
	e.seal(ctx, t, everything)
}

// installedAgain: the operator is uninstalled while there are trails, and
// installed again. It goes on with what it has left.
func installedAgain(ctx context.Context, t *testing.T, e *environment) {
	before, address := e.identities(ctx, t), e.receiverAddress(ctx, t)
	e.helm(ctx, t, "uninstall", release, "--wait", "--timeout=90s")
	if diff := cmp.Diff(before, e.identities(ctx, t)); diff != "" {
		t.Errorf("uninstalling has removed more than the operator (-before +after):\n%s", diff)
	}
	e.install(ctx, t, secondRelease)
	e.waitReceiving(ctx, t, shop)
	if diff := cmp.Diff(before, e.identities(ctx, t)); diff != "" {
		t.Errorf("installing again has made new what there was (-before +after):\n%s", diff)
	}
	if now := e.receiverAddress(ctx, t); now != address {
		t.Errorf("the receiver's address was %s and is %s: the API server does not know it", address, now)
	}
	l := e.startLoad(ctx, shop.namespace, "again")
	pause(ctx, 2*time.Second)
	names := l.stop(t)
	e.arrive(ctx, t, shop, names)
	e.arrive(ctx, t, everything, names)
	e.seal(ctx, t, shop)
	e.seal(ctx, t, everything)
}

// identities are the UIDs of what an upgrade or uninstalling leaves alone, by name.
func (e *environment) identities(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, args := range [][]string{
		{"crd", "-l", "app.kubernetes.io/part-of=trail-operator"},
		{"trails,organizationtrails,eventselectors", "--all-namespaces"},
		{"persistentvolumeclaim/data-trail-receiver-0", "statefulset/trail-receiver", "service/trail-receiver", "configmap/trail-installation", "configmap/trail-digest-keys", "-n", operatorNamespace},
	} {
		output := e.root.kubectl(ctx, t, append([]string{"get", "-o", "go-template=" +
			`{{ range .items }}{{ .kind }}/{{ .metadata.namespace }}/{{ .metadata.name }} {{ .metadata.uid }}{{ "\n" }}{{ end }}`}, args...)...)
		for line := range strings.Lines(output) {
			name, uid, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[name] = uid
		}
	}
	if len(all) < 10 {
		t.Fatalf("there are %v only", all)
	}
	return all
}

// columns are those that kubectl shows of EventSelectors.
func (e *environment) columns(ctx context.Context, t *testing.T) string {
	t.Helper()
	return e.root.kubectl(ctx, t, "get", "crd", "eventselectors.trail-operator.io", "-o", "jsonpath={.spec.versions[*].additionalPrinterColumns[*].name}")
}

// receiverAddress is that of the receiver's Service, which API servers know.
func (e *environment) receiverAddress(ctx context.Context, t *testing.T) string {
	t.Helper()
	return e.root.kubectl(ctx, t, "get", "service", "trail-receiver", "-n", operatorNamespace, "-o", "jsonpath={.spec.clusterIP}")
}
