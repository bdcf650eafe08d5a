package installation

import (
	"testing"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// TestRefusedForGood: a certificate that was replaced and refused is not good
// again, whatever happens next.
func TestRefusedForGood(t *testing.T) {
	for name, next := range map[string]func(w *world, stolen *file){
		"another rotation": func(w *world, _ *file) { w.ask("apiserver.cp-1") },
		"a new CA":         func(w *world, _ *file) { w.ask("ca") },
		"the name is removed": func(w *world, _ *file) {
			delete(w.files, "cp-1")
			w.manager.config.Receiver.APIServers = []string{"cp-2"}
		},
		"the Secret is deleted": func(w *world, _ *file) {
			if err := w.client.Delete(t.Context(), w.secret(manifests.APIServerCertName("cp-1"))); err != nil {
				t.Fatal(err)
			}
		},
		"the Secret is an old one": func(w *world, stolen *file) {
			s := w.secret(manifests.APIServerCertName("cp-1"))
			s.Annotations, s.Data["tls.crt"], s.Data["tls.key"] = nil, stolen.pair.Cert, stolen.pair.Key
			if err := w.client.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			w.keep()
			w.place("cp-1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "cp-1", "cp-2")
			w.settle()
			stolen := w.printed("cp-1")
			w.ask("apiserver.cp-1")
			w.keep()
			w.place("cp-1")
			w.settle()
			refused := func() {
				t.Helper()
				if w.call(stolen, "10.0.0.9") == nil {
					t.Fatal("the certificate that was replaced is good")
				}
			}
			refused()
			next(w, stolen)
			for range 4 { // and at each step that follows
				w.keep()
				w.mount()
				refused()
			}
			w.settle()
			refused()
		})
	}
}

// TestForgets: refusals last as long as the CA that has issued what is refused.
func TestForgets(t *testing.T) {
	w := newWorld(t, "cp-1")
	rotate := func(key string) {
		w.ask(key)
		w.settle()
		w.place("cp-1")
		w.settle()
	}
	for range 3 {
		rotate("apiserver.cp-1")
	}
	if n := len(w.served.refused); n != 3 {
		t.Errorf("%d certificates are refused", n)
	}
	rotate("ca")
	if n := len(w.served.refused); n != 0 {
		t.Errorf("%d certificates of a CA that is gone are refused by name", n)
	}
}
