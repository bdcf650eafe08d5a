package installation

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// TestWithoutCA: when the CA's Secret is lost, API servers go on being served,
// the manager says what to do, and doing either helps.
func TestWithoutCA(t *testing.T) {
	drop := func(w *world, name string) {
		t.Helper()
		if err := w.client.Delete(t.Context(), w.secret(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, lose := range map[string]func(w *world){
		"deleted": func(w *world) { drop(w, manifests.IntakeCAName) },
		"damaged": func(w *world) {
			s := w.secret(manifests.IntakeCAName)
			s.Data[corev1.TLSPrivateKeyKey] = []byte("x")
			if err := w.client.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "cp-1", "cp-2")
			w.settle()
			backup := w.secret(manifests.IntakeCAName)
			backup.ResourceVersion = ""
			lost := func() {
				t.Helper()
				lose(w)
				for range 3 {
					w.clock.SetTime(w.clock.Now().Add(time.Minute))
					err := w.manager.keep(t.Context())
					if err == nil || !strings.Contains(err.Error(), "restore it from the backup; or delete it and the Secret trail-receiver-tls") {
						t.Fatalf("says %v", err)
					}
					w.mount()
					if err := w.post(); err != nil {
						t.Fatal(err)
					}
				}
			}
			lost()
			if name == "damaged" {
				drop(w, manifests.IntakeCAName)
			}
			if err := w.client.Create(t.Context(), backup.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			w.settle()

			lost()
			if name == "damaged" {
				drop(w, manifests.IntakeCAName)
			}
			drop(w, manifests.ServerCertName)
			w.keep()
			w.mount()
			if w.post() == nil {
				t.Fatal("the files of the CA that is gone are good")
			}
			for _, name := range []string{"cp-1", "cp-2"} {
				w.place(name)
			}
			w.settle()
		})
	}
}
