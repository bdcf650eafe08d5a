package clitest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Receiver stands in for the receiver: it keeps what it is told to, and does what
// it is asked, to clients with the manager's certificate.
type Receiver struct {
	Address string // host:port
	Secret  *corev1.Secret
	// Kept is in the order of IDs, and Content by ID.
	Kept    []receiverstatus.Kept
	Content map[string][]byte
	// Refuse says by ID why something is refused.
	Refuse map[string]string
	// Asked are the IDs of requests, by path.
	Asked map[string][]string
	// Page is the size of pages.
	Page int
}

// NewReceiver starts one, which ends with the test.
func NewReceiver(t *testing.T) *Receiver {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA("test", now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.IssueServer(now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	manager, err := ca.IssueClient(now, receiverconfig.ManagerCommonName)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca.Cert)
	r := &Receiver{Content: map[string][]byte{}, Refuse: map[string]string{}, Asked: map[string][]string{}, Page: 2}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+receiverstatus.PathKept, r.list)
	mux.HandleFunc("GET "+receiverstatus.PathKept+"/{id}", r.one)
	mux.HandleFunc("GET "+receiverstatus.PathKept+"/{id}/content", func(w http.ResponseWriter, req *http.Request) {
		body, ok := r.Content[req.PathValue("id")]
		if !ok {
			http.NotFound(w, req)
			return
		}
		_, _ = w.Write(body)
	})
	mux.HandleFunc("POST "+receiverstatus.PathReplay, r.do(receiverstatus.ReplayedNow))
	mux.HandleFunc("POST "+receiverstatus.PathRedeliver, r.do(receiverstatus.DeliveryAsked))
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.StartTLS()
	t.Cleanup(s.Close)
	r.Address = s.Listener.Addr().String()
	r.Secret = &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.ManagerCertName},
		Data:       map[string][]byte{"ca.crt": ca.Cert, corev1.TLSCertKey: manager.Cert, corev1.TLSPrivateKeyKey: manager.Key},
	}
	return r
}

func (r *Receiver) list(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	page := receiverstatus.KeptList{Items: []receiverstatus.Kept{}}
	for i := range r.Kept {
		k := r.Kept[i]
		if k.ID <= q.Get("continue") || q.Get("trail") != "" && k.Trail != q.Get("trail") || !strings.Contains(","+q.Get("kind")+",", ","+k.Kind+",") {
			continue
		}
		if len(page.Items) == r.Page {
			page.Continue = page.Items[r.Page-1].ID
			break
		}
		k.Copy = ""
		page.Items = append(page.Items, k)
	}
	_, _ = w.Write(record.MustJSON(page))
}

func (r *Receiver) one(w http.ResponseWriter, req *http.Request) {
	for i := range r.Kept {
		if r.Kept[i].ID == req.PathValue("id") {
			_, _ = w.Write(record.MustJSON(r.Kept[i]))
			return
		}
	}
	http.NotFound(w, req)
}

func (r *Receiver) do(outcome string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var in receiverstatus.KeptIDs
		if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
			http.Error(w, "no IDs", http.StatusBadRequest)
			return
		}
		r.Asked[req.URL.Path] = append(r.Asked[req.URL.Path], in.IDs...)
		out := receiverstatus.KeptOutcomes{}
		for _, id := range in.IDs {
			o := receiverstatus.KeptOutcome{ID: id, Outcome: outcome, Records: 1}
			if why := r.Refuse[id]; why != "" {
				o = receiverstatus.KeptOutcome{ID: id, Outcome: receiverstatus.KeptRefused, Reason: why}
			}
			out.Items = append(out.Items, o)
		}
		_, _ = w.Write(record.MustJSON(out))
	}
}
