package installation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// sealed is a client that may not update one Secret.
type sealed struct {
	client.Client
	name string
}

func (s sealed) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	if o.GetName() == s.name {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, s.name, errors.New("not named in the Role"))
	}
	return s.Client.Update(ctx, o, opts...)
}

// TestOneOfNoUse: the certificate of one API server that cannot be mended keeps
// neither the others from being served, nor the receiver's own from being
// renewed, nor the manager from starting. The CA waits for it.
func TestOneOfNoUse(t *testing.T) {
	w := newWorld(t, "cp-1", "cp-2")
	s := w.secret(manifests.APIServerCertName("cp-2"))
	damaged := s.DeepCopy()
	damaged.Data["tls.crt"] = []byte("x")
	if err := w.client.Update(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	delete(w.files, "cp-2")
	w.manager.client = sealed{w.client, s.Name}
	keep := func() {
		t.Helper()
		if err := w.manager.keep(t.Context()); err == nil || !strings.Contains(err.Error(), "the API server cp-2: ") {
			t.Fatalf("says %v", err)
		}
		w.mount()
		if err := w.post(); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, w.served.server.Cert)[0]
	for range 95 {
		w.clock.SetTime(w.clock.Now().Add(day))
		keep()
	}
	if names(t, w.served.server.Cert)[0] == before {
		t.Error("the receiver's certificate was not renewed")
	}
	if got := w.waits(); got != "The certificate of the API server cp-2 cannot be kept: the manager's log says why." {
		t.Errorf("says %q", got)
	}
	if err := w.manager.certificates(t.Context()); err != nil {
		t.Errorf("the manager does not start: %v", err)
	}

	w.ask("ca")
	for range 12 {
		w.clock.SetTime(w.clock.Now().Add(3 * time.Minute))
		keep()
	}
	w.place("cp-1")
	for range 12 {
		w.clock.SetTime(w.clock.Now().Add(3 * time.Minute))
		keep()
	}
	if got := w.waits(); !strings.HasSuffix(got, "It waits for a new file for each of these API servers, which the manager makes: cp-2.") {
		t.Errorf("waits: %q", got)
	}
	w.manager.client = w.client
	w.keep()
	w.place("cp-2")
	w.settle()
	if got := w.waits(); got != "" {
		t.Errorf("waits: %q", got)
	}
}
