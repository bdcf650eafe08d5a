package receiverconfig

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/record"
)

func TestTail(t *testing.T) {
	tail := func() *Tail {
		return &Tail{Issuer: "https://kubernetes.default.svc", Keys: json.RawMessage(`{"keys":[]}`), Namespace: "trail-operator-system"}
	}
	f := validFolder()
	f.config.Tail = tail()
	got, err := ParseConfig(record.MustJSON(f.config))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(tail(), got.Tail); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(tail(), RecoverConfig(record.MustJSON(f.config)).Tail); d != "" {
		t.Error(d)
	}
	for name, change := range map[string]func(*Tail){
		"no issuer": func(t *Tail) { t.Issuer = "" }, "a long issuer": func(t *Tail) { t.Issuer = strings.Repeat("a", MaxIssuer+1) },
		"no keys": func(t *Tail) { t.Keys = nil }, "long keys": func(t *Tail) { t.Keys = json.RawMessage(`"` + strings.Repeat("a", MaxKeysLen) + `"`) },
		"no namespace": func(t *Tail) { t.Namespace = "" }, "a long namespace": func(t *Tail) { t.Namespace = strings.Repeat("a", 64) },
	} {
		f.config.Tail = tail()
		change(f.config.Tail)
		raw := record.MustJSON(f.config)
		if _, err := ParseConfig(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if c := RecoverConfig(raw); c.Tail != nil {
			t.Errorf("%s: recovered", name)
		}
	}
}
