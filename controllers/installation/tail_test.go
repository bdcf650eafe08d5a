package installation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/serviceaccount"
)

// keySet is what an API server shows that has these keys.
func keySet(t *testing.T, ids ...string) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, id := range ids {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTail(t *testing.T) {
	issuer, keys := `{"issuer":"https://kubernetes.default.svc","jwks_uri":"https://elsewhere/"}`, keySet(t, "a")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pathIssuer:
			fmt.Fprint(w, issuer)
		case pathKeys:
			fmt.Fprint(w, keys)
		default:
			http.NotFound(w, r)
		}
	}))
	defer api.Close()
	c, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	s := newSecrets(t)
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	config := &managerconfig.Config{Namespace: "trails"}
	tail := &Tail{API: c.RESTClient(), Config: config, Publisher: newPublisher(t, s), Clock: clock}
	update := func() *receiverconfig.Tail {
		t.Helper()
		if err := tail.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.config(t).Tail
	}
	shown := func(want ...string) {
		t.Helper()
		set, err := serviceaccount.ParseKeys(update().Keys)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range set.Keys {
			got = append(got, k.KeyID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got the keys %v, want %v", got, want)
		}
	}

	if got := update(); got != nil {
		t.Fatalf("nobody asked for tails: %+v", got)
	}
	config.Intake.Tail.Enabled = true
	if got := update(); got.Issuer != "https://kubernetes.default.svc" || got.Namespace != "trails" {
		t.Fatalf("got %+v", got)
	}
	shown("a")
	before, _ := s.total()
	shown("a")
	if after, _ := s.total(); after != before {
		t.Errorf("%d writes of nothing new", after-before)
	}
	// While keys are rotated, API servers show different ones.
	keys = keySet(t, "b", "c")
	shown("a", "b", "c")
	clock.SetTime(clock.Now().Add(keyKept))
	shown("a", "b", "c")
	clock.SetTime(clock.Now().Add(time.Second))
	shown("b", "c")

	// What cannot be right leaves what was.
	for _, bad := range []string{"", "<html>", `{"keys":[]}`, `{"keys":[` + strings.Repeat("{},", 100) + `{}]}`} {
		keys = bad
		if err := tail.update(t.Context()); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
	keys = keySet(t, "b")
	for _, bad := range []string{"", "{}", `{"issuer":5}`, `{"issuer":"` + strings.Repeat("a", 3000) + `"}`} {
		issuer = bad
		if err := tail.update(t.Context()); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
	if got := s.config(t).Tail; got == nil || got.Issuer != "https://kubernetes.default.svc" {
		t.Fatalf("got %+v", got)
	}
	config.Intake.Tail.Enabled = false
	if got := update(); got != nil {
		t.Fatalf("got %+v", got)
	}
}
