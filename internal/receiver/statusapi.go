package receiver

import (
	"encoding/json"
	"net/http"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

const (
	// maxEvents bounds one POST of events of our own.
	maxEvents = 100
	// maxEventsBody bounds its body, in bytes.
	maxEventsBody = 1 << 20
)

// statusAPI serves package receiverstatus' API to the manager's certificate.
func (r *Receiver) statusAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+receiverstatus.PathStatus, r.serveStatus)
	mux.HandleFunc("POST "+receiverstatus.PathEvents, r.serveEvents)
	r.keptAPI(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.TLS == nil || len(req.TLS.VerifiedChains) == 0 ||
			req.TLS.PeerCertificates[0].Subject.CommonName != receiverconfig.ManagerCommonName {
			http.Error(w, "this path is for the manager's client certificate", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

func (r *Receiver) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(r.Status()); err != nil {
		r.o.Log.V(1).Info("The status could not be sent", "error", err.Error())
	}
}

func (r *Receiver) serveEvents(w http.ResponseWriter, req *http.Request) {
	var events receiverstatus.Events
	decoder := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxEventsBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&events); err != nil || len(events.Items) > maxEvents {
		http.Error(w, "the body must be a list of at most 100 events", http.StatusBadRequest)
		return
	}
	if err := r.pipeline.Record(req.Context(), events.Items...); err != nil {
		r.o.Log.Error(err, "Events of the manager could not be stored")
		w.Header().Set("Retry-After", "2")
		http.Error(w, "the events could not be stored; try again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
