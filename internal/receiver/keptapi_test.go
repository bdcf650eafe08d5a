package receiver

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// TestKeptAPI: who may ask, what is refused, and that answers are bounded.
func TestKeptAPI(t *testing.T) {
	r, err := New(Options{
		DataDir: t.TempDir(), TrailQuota: 1 << 20, Clock: clock.RealClock{}, Log: logr.Discard(),
		Open: func(objectstore.Config) (objectstore.Store, error) { return nil, errors.New("no") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.spool.Close() })
	api := r.statusAPI()
	call := func(method, path, body, name string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		cert := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, req)
		return w
	}
	for _, path := range []string{"GET /v1/kept", "GET /v1/kept/a", "GET /v1/kept/a/content", "POST /v1/replay", "POST /v1/redeliver"} {
		method, path, _ := strings.Cut(path, " ")
		if w := call(method, path, "{}", "123456789012:api-1"); w.Code != http.StatusForbidden {
			t.Errorf("%s for an API server: %d", path, w.Code)
		}
	}
	ids := `{"ids":["` + strings.Repeat(`a","`, receiverstatus.MaxKeptIDs) + `a"]}`
	for name, c := range map[string]struct {
		method, path, body string
		code               int
	}{
		"list":               {"GET", "/v1/kept", "", 200},
		"unknown kind":       {"GET", "/v1/kept?kind=secret", "", 200},
		"bad limit":          {"GET", "/v1/kept?limit=-1", "", 400},
		"no number":          {"GET", "/v1/kept?limit=x", "", 400},
		"no such":            {"GET", "/v1/kept/item-1-1", "", 404},
		"a state document":   {"GET", "/v1/kept/item-..%2Fintake%2Fchunk-key", "", 404},
		"no content":         {"GET", "/v1/kept/expired-u-0000000000000001/content", "", 404},
		"content of an item": {"GET", "/v1/kept/item-1-1/content", "", 404},
		"replay":             {"POST", "/v1/replay", `{"ids":["item-1-1"]}`, 200},
		"redeliver":          {"POST", "/v1/redeliver", `{"ids":["expired-u-0000000000000001","abandoned-u-l0000000000000001","x","-",""]}`, 200},
		"too many":           {"POST", "/v1/replay", ids, 400},
		"unknown field":      {"POST", "/v1/replay", `{"all":true}`, 400},
		"too long":           {"POST", "/v1/replay", `{"ids":["` + strings.Repeat("a", maxKeptBody) + `"]}`, 400},
		"wrong method":       {"DELETE", "/v1/kept/item-1-1", "", 405},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(c.method, c.path, c.body, receiverconfig.ManagerCommonName)
			if w.Code != c.code {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
			if c.code != http.StatusOK {
				return
			}
			if c.method == http.MethodGet {
				var list receiverstatus.KeptList
				if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || list.Items == nil || len(list.Items) > 0 {
					t.Errorf("%s, %v", w.Body, err)
				}
				return
			}
			var out receiverstatus.KeptOutcomes
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out.Items) == 0 {
				t.Errorf("%s, %v", w.Body, err)
			}
			for _, o := range out.Items {
				if o.Outcome != receiverstatus.KeptGone {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}
