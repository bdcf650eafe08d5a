package installation

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

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

// revoke asks to refuse at once what the newest of key has taken the place of, as the command
// line does; under next stands the fingerprint of what stays.
func (w *world) revoke(key, next string) {
	w.Helper()
	var cm corev1.ConfigMap
	w.get(manifests.CertificatesName, &cm)
	cm.Data[manifests.RevokePrefix+key] = cm.Data[next]
	if err := w.client.Update(context.Background(), &cm); err != nil {
		w.Fatal(err)
	}
}

// TestThief: whoever goes on with a stolen certificate is not cut off by a
// rotation, which says so and how to, and is when that is done. The API server
// with the new one loses nothing.
func TestThief(t *testing.T) {
	for key, tc := range map[string]struct{ says, next string }{
		"apiserver.cp-1": {"webhook-config --revoke --apiserver cp-1`", "apiserver.cp-1"},
		"ca":             {"webhook-config --revoke --apiserver cp-1`", "ca.next"},
	} {
		t.Run(key, func(t *testing.T) {
			w := newWorld(t, "cp-1")
			w.settle()
			stolen := w.files["cp-1"]
			both := func(want bool) {
				t.Helper()
				for range 20 {
					w.pass(4 * time.Minute)
					mine := w.files["cp-1"]
					if (w.call(stolen, "10.0.0.9") == nil) != want {
						t.Fatalf("the stolen certificate is good: %t", !want)
					}
					if want {
						w.files["cp-1"] = stolen
						w.pass(4 * time.Minute)
						w.files["cp-1"] = mine
					}
				}
			}
			w.ask(key)
			w.settle()
			w.place("cp-1")
			both(true)
			if got := w.waits(); !strings.Contains(got, "the old certificate is still used, too") || !strings.Contains(got, tc.says) {
				t.Errorf("says %q", got)
			}
			w.revoke(key, tc.next)
			w.keep()
			w.mount()
			both(false)
			if got := w.waits(); got != "" {
				t.Errorf("says %q", got)
			}
		})
	}
}

// TestUnknownCertificate: one whose Secret was deleted cannot be refused by name.
func TestUnknownCertificate(t *testing.T) {
	w := newWorld(t, "cp-1")
	w.settle()
	stolen := w.files["cp-1"]
	if err := w.client.Delete(t.Context(), w.secret(manifests.APIServerCertName("cp-1"))); err != nil {
		t.Fatal(err)
	}
	w.ask("ca")
	w.settle()
	w.place("cp-1")
	mine := w.files["cp-1"]
	for _, f := range []*file{mine, stolen, mine, stolen} {
		w.files["cp-1"] = f
		w.pass(4 * time.Minute)
	}
	if got := w.waits(); !strings.Contains(got, "`kubectl trail webhook-config --rotate-ca --revoke` refuses it at once") {
		t.Errorf("says %q", got)
	}
	w.files["cp-1"] = mine
	w.revoke("ca", "ca.next")
	w.settle()
	if w.call(stolen, "10.0.0.9") == nil {
		t.Error("the stolen certificate is good")
	}
}

// TestRevokeAtOnce: what is revoked before anybody has the new file is refused
// without waiting; the new file then works.
func TestRevokeAtOnce(t *testing.T) {
	for key, next := range map[string]string{"apiserver.cp-1": "apiserver.cp-1", "ca": "ca.next"} {
		t.Run(key, func(t *testing.T) {
			w := newWorld(t, "cp-1")
			w.settle()
			w.ask(key)
			w.keep()
			w.revoke(key, next)
			w.keep()
			w.mount()
			if w.post() == nil {
				t.Fatal("the old certificate is good")
			}
			w.place("cp-1")
			w.settle()
			if got := w.waits(); got != "" {
				t.Errorf("says %q", got)
			}
			if key == "ca" && len(names(t, w.files["cp-1"].cas)) != 1 {
				t.Error("the new file trusts the CA that was revoked")
			}
		})
	}
}
