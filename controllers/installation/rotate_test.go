package installation

import (
	"bytes"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

const day = 24 * time.Hour

// TestRotateOne: both certificates are good until the API server has used the
// new one alone for ten minutes, and the old one is refused from then on.
func TestRotateOne(t *testing.T) {
	w := newWorld(t, "cp-1", "cp-2")
	w.settle()
	old, other := w.printed("cp-1"), w.printed("cp-2")
	w.ask("apiserver.cp-1")
	w.keep()
	if bytes.Equal(w.printed("cp-1").pair.Cert, old.pair.Cert) {
		t.Fatal("the certificate is the same")
	}
	if !bytes.Equal(w.printed("cp-2").pair.Cert, other.pair.Cert) {
		t.Error("that of another API server was replaced, too")
	}
	fresh := w.printed("cp-1")
	w.settle() // it goes on with the old one
	if err := w.call(old, "10.0.0.9"); err != nil {
		t.Errorf("in use, and refused: %v", err)
	}
	if err := w.call(fresh, "10.0.0.9"); err != nil {
		t.Errorf("not in use yet, and refused: %v", err)
	}
	if !bytes.Equal(w.printed("cp-1").pair.Cert, fresh.pair.Cert) {
		t.Error("one request was carried out twice")
	}
	w.place("cp-1")
	w.pass(9 * time.Minute)
	if err := w.call(old, "10.0.0.9"); err != nil {
		t.Errorf("refused too early: %v", err)
	}
	w.settle()
	if err := w.call(old, "10.0.0.9"); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("the old certificate is good: %v", err)
	}
}

// TestSharedFile: an API server that was given the file of another is not cut
// off when that one has a new certificate.
func TestSharedFile(t *testing.T) {
	w := newWorld(t, "cp-1")
	w.ask("apiserver.cp-1")
	w.keep()
	shared, fresh := w.files["cp-1"], w.printed("cp-1")
	for range 20 { // both post under one name
		for _, f := range []*file{shared, fresh} {
			w.files["cp-1"] = f
			w.pass(time.Minute)
		}
	}
}

// TestRotateCA follows the rotation of the CA step by step.
func TestRotateCA(t *testing.T) {
	w := newWorld(t, "cp-1", "cp-2")
	w.settle()
	old := w.printed("cp-1")
	oldCA := w.manager.in.Certificates().Roots
	server := func() *manifests.Authority {
		a, err := manifests.ReadAuthority(w.secret(manifests.IntakeCAName))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	published := func() {
		t.Helper()
		var cm corev1.ConfigMap
		w.get(manifests.CertificatesName, &cm)
		if cm.Data[manifests.CertificatesReceiverCA] != string(server().Servers()) {
			t.Error("the CAs that are published are not those that issue the receiver's certificate")
		}
	}
	published()
	w.ask("ca")
	w.keep()
	w.keep() // the receiver does not know the new CA yet
	published()
	if !bytes.Equal(w.printed("cp-1").pair.Cert, old.pair.Cert) {
		t.Error("a certificate was issued that the receiver does not trust")
	}
	if got := w.waits(); !strings.Contains(got, "until the receiver trusts the new CA") || strings.Contains(got, "restarted") {
		t.Errorf("waits, with the old files: %q", got)
	}
	w.settle()
	if bytes.Equal(w.printed("cp-1").pair.Cert, old.pair.Cert) || len(names(t, w.printed("cp-1").cas)) != 2 {
		t.Error("the file has no certificate of the new CA, or does not trust both")
	}
	if _, err := w.served.server.Check(oldCA); err != nil {
		t.Errorf("the receiver shows a certificate that API servers do not know: %v", err)
	}
	if got := w.waits(); !strings.Contains(got, "cp-1, cp-2.") {
		t.Errorf("waits: %q", got)
	}
	w.place("cp-1")
	w.settle()
	if got := w.waits(); !strings.HasSuffix(got, ": cp-2.") || server().Next == nil {
		t.Errorf("waits: %q", got)
	}
	w.place("cp-2")
	w.settle()
	if got := w.waits(); got != "" || server().Next != nil || server().Previous != nil {
		t.Errorf("waits: %q", got)
	}
	published()
	if err := w.call(old, "10.0.0.9"); err == nil {
		t.Error("the old certificate is good")
	}
	if _, err := w.served.server.Check(oldCA); err == nil {
		t.Error("the receiver shows a certificate of the old CA")
	}
	if bytes.Contains(w.served.clients, oldCA) {
		t.Error("the receiver trusts the old CA")
	}
	placed := w.files["cp-1"]
	w.settle()
	if !bytes.Equal(w.printed("cp-1").cas, placed.cas) {
		t.Error("a file that works has changed")
	}
}

// TestTenYears: what renews itself does so, what does not is warned of 90 days
// ahead, and nobody is cut off when somebody heeds that.
func TestTenYears(t *testing.T) {
	w := newWorld(t, "cp-1", "cp-2")
	begin := w.clock.Now()
	servers := map[string]bool{}
	for w.clock.Now().Sub(begin) < pki.CALifetime-WarnBefore-6*day {
		w.pass(5 * day)
		servers[names(t, w.served.server.Cert)[0]] = true
		c := w.manager.in.Certificates()
		if got := c.Expiring(w.clock.Now()) + c.Expired(w.clock.Now()); got != "" {
			t.Fatalf("after %s: %s", w.clock.Now().Sub(begin), got)
		}
	}
	if n := len(servers); n < 50 || n > 65 {
		t.Errorf("the receiver had %d certificates", n)
	}
	w.pass(10 * day)
	says := func(want string) {
		t.Helper()
		if got := w.manager.in.Certificates().Expiring(w.clock.Now()); !strings.Contains(got, want) {
			t.Errorf("%q instead of %q", got, want)
		}
	}
	says("The intake CA ends on 2035-12-31. Run `kubectl trail webhook-config --rotate-ca`")
	w.ask("ca")
	w.settle()
	says("Its rotation is under way. It waits for each of these API servers")
	w.place("cp-1")
	w.place("cp-2")
	w.settle()
	c := w.manager.in.Certificates()
	if got := c.Expiring(w.clock.Now()); got != "" {
		t.Error(got)
	}
	for w.clock.Now().Sub(begin) < 11*365*day {
		w.pass(7 * day)
	}
}

// TestNobodyRotates: after ten years nothing works any more; then one command
// and new files help.
func TestNobodyRotates(t *testing.T) {
	w := newWorld(t, "cp-1")
	w.clock.SetTime(w.clock.Now().Add(pki.CALifetime + day))
	w.keep()
	if got := w.manager.in.Certificates().Expired(w.clock.Now()); !strings.HasPrefix(got, "The intake CA has expired. Run `kubectl trail webhook-config --rotate-ca`") {
		t.Error(got)
	}
	w.mount()
	if w.post() == nil {
		t.Fatal("expired certificates are good")
	}
	w.ask("ca")
	w.keep()
	w.mount()
	w.place("cp-1")
	w.settle()
	c := w.manager.in.Certificates()
	if got := c.Expired(w.clock.Now()) + c.Expiring(w.clock.Now()) + w.waits(); got != "" {
		t.Error(got)
	}
}

// TestClockAhead: a certificate that the manager renews while its clock is
// months ahead is good when the clock is right again.
func TestClockAhead(t *testing.T) {
	w := newWorld(t, "cp-1")
	w.settle()
	right := w.clock.Now()
	before := names(t, w.served.server.Cert)[0]
	w.clock.SetTime(right.Add(70 * day))
	w.keep()
	w.clock.SetTime(right)
	w.keep()
	w.mount()
	if names(t, w.served.server.Cert)[0] == before {
		t.Fatal("nothing was renewed")
	}
	w.settle()
}

// TestBounded: a certificate that is rotated without end is not.
func TestBounded(t *testing.T) {
	w := newWorld(t, "cp-1")
	for range maxReplaced + 5 {
		w.ask("apiserver.cp-1")
		w.keep()
	}
	if n := len(manifests.ReadAPIServer(w.secret(manifests.APIServerCertName("cp-1"))).Replaced); n != maxReplaced {
		t.Errorf("%d certificates were replaced", n)
	}
	if got := w.waits(); !strings.Contains(got, "is not replaced once more") {
		t.Errorf("says %q", got)
	}
	w.place("cp-1")
	w.settle()
}

// TestKeepsWhatOthersAdd: annotations of other programs on a Secret stay.
func TestKeepsWhatOthersAdd(t *testing.T) {
	w := newWorld(t, "cp-1")
	s := w.secret(manifests.APIServerCertName("cp-1"))
	s.Annotations = map[string]string{"replicator.example.com/to": "nodes"}
	if err := w.client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.ask("apiserver.cp-1")
	w.settle()
	w.place("cp-1")
	w.settle()
	s = w.secret(s.Name)
	if s.Annotations["replicator.example.com/to"] != "nodes" || len(s.Annotations) != 2 {
		t.Errorf("annotations %v", s.Annotations)
	}
}

// TestAnyOrder: whatever is asked for, whenever the manager or its writes fail,
// however late the kubelet is: an API server with a file that was once the
// newest is served, and the manager reaches the receiver.
func TestAnyOrder(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // they are slow
		if err := checks.Value.Set("15"); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"cp-1", "cp-2"}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, all...)
		which := rapid.SampledFrom(all)
		t.Repeat(map[string]func(*rapid.T){
			"":          func(*rapid.T) {},
			"keep":      func(*rapid.T) { w.keep() },
			"mount":     func(*rapid.T) { w.mount() },
			"restart":   func(*rapid.T) { w.restart() },
			"break":     func(t *rapid.T) { w.failing = rapid.IntRange(1, 6).Draw(t, "write"); w.keep() },
			"rotate":    func(t *rapid.T) { w.ask("apiserver." + which.Draw(t, "API server")) },
			"rotate CA": func(*rapid.T) { w.ask("ca") },
			"place":     func(t *rapid.T) { w.place(which.Draw(t, "API server")) },
			"settle":    func(*rapid.T) { w.settle() },
			"receiver restarts": func(*rapid.T) {
				w.served.started = w.clock.Now()
				clear(w.served.used)
			},
			"time": func(t *rapid.T) {
				w.clock.SetTime(w.clock.Now().Add(time.Duration(rapid.Int64Range(0, int64(20*day)).Draw(t, "time"))))
				w.keep()
				w.mount() // the kubelet is minutes late, not days
			},
			"post": func(t *rapid.T) {
				if err := w.post(); err != nil {
					t.Fatal(err)
				}
				if w.status(t.Context()) == nil {
					t.Fatal("the manager does not reach the receiver")
				}
			},
		})
		w.failing = 0
		// In the end everything can be brought to rest.
		w.settle()
		for _, name := range all {
			w.place(name)
		}
		w.settle()
		if got := w.waits(); got != "" && !strings.Contains(got, "once more") {
			t.Fatalf("it still waits: %s", got)
		}
		for _, name := range all {
			if !slices.Equal(names(t, w.files[name].pair.Cert), names(t, w.printed(name).pair.Cert)) {
				t.Fatal("the newest file is not the newest")
			}
		}
	})
}
