package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

const (
	// maxKeptBody bounds the body of a request, in bytes.
	maxKeptBody = 256 << 10
	// contentTimeout is how long a file may take on its way to a client.
	contentTimeout = 5 * time.Minute
)

var errPage = errors.New("the page is full")

// keptAPI serves what is kept beside the buckets. What holds audit data in it is
// masked, as what cannot be understood is, or was redacted before it was stored.
func (r *Receiver) keptAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET "+receiverstatus.PathKept, r.serveKept)
	mux.HandleFunc("GET "+receiverstatus.PathKept+"/{id}", r.serveKeptOne)
	mux.HandleFunc("GET "+receiverstatus.PathKept+"/{id}/content", r.serveKeptContent)
	mux.HandleFunc("POST "+receiverstatus.PathReplay, r.serveReplay)
	mux.HandleFunc("POST "+receiverstatus.PathRedeliver, r.serveRedeliver)
}

func (r *Receiver) serveKept(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	kinds := receiverstatus.KeptKinds[:]
	if kind := q.Get("kind"); kind != "" {
		kinds = strings.Split(kind, ",")
		slices.Sort(kinds)
	}
	limit := receiverstatus.MaxKeptPage
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			http.Error(w, "limit must be a positive number", http.StatusBadRequest)
			return
		}
		limit = min(n, limit)
	}
	page := receiverstatus.KeptList{Items: []receiverstatus.Kept{}}
	take := func(k receiverstatus.Kept) error {
		if len(page.Items) == limit {
			page.Continue = page.Items[limit-1].ID
			return errPage
		}
		page.Items = append(page.Items, k)
		return nil
	}
	for _, kind := range kinds {
		err := r.eachKept(kind, q.Get("trail"), q.Get("continue"), take)
		if errors.Is(err, errPage) {
			break
		}
		if err != nil {
			r.keptFailed(w, err)
			return
		}
	}
	r.answerJSON(w, page)
}

// eachKept calls fn for what is kept of a kind, behind the ID after.
func (r *Receiver) eachKept(kind, trail, after string, fn func(receiverstatus.Kept) error) error {
	if kind != receiverstatus.KeptItem {
		return r.pipeline.Kept(kind, trail, after, fn)
	}
	if trail != "" {
		return nil // items are of no trail
	}
	return r.intake.Quarantined(after, fn)
}

func (r *Receiver) serveKeptOne(w http.ResponseWriter, req *http.Request) {
	id := req.PathValue("id")
	k, err := r.intake.QuarantinedItem(id)
	if k == nil && err == nil {
		k, err = r.pipeline.KeptOne(id)
	}
	switch {
	case err != nil:
		r.keptFailed(w, err)
	case k == nil:
		http.Error(w, "nothing is kept under this ID", http.StatusNotFound)
	default:
		r.answerJSON(w, k)
	}
}

func (r *Receiver) serveKeptContent(w http.ResponseWriter, req *http.Request) {
	f, k, err := r.pipeline.Content(req.PathValue("id"))
	switch {
	case err != nil:
		r.keptFailed(w, err)
		return
	case f == nil:
		http.Error(w, "no file is kept under this ID", http.StatusNotFound)
		return
	}
	defer f.Close()
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(contentTimeout)); err != nil {
		r.o.Log.V(1).Info("No deadline for an answer", "reason", err.Error())
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Length", strconv.FormatInt(k.Bytes, 10))
	if _, err := io.CopyN(w, f, k.Bytes); err != nil {
		r.o.Log.V(1).Info("A kept file could not be sent", "error", err.Error())
		panic(http.ErrAbortHandler) // its client must not take it for whole
	}
}

func (r *Receiver) serveReplay(w http.ResponseWriter, req *http.Request) {
	r.serveKeptIDs(w, req, func(id string) (receiverstatus.KeptOutcome, error) { return r.intake.Replay(req.Context(), id) })
}

func (r *Receiver) serveRedeliver(w http.ResponseWriter, req *http.Request) {
	r.serveKeptIDs(w, req, r.pipeline.Redeliver)
}

// serveKeptIDs does something for each ID of a request. When one fails, the
// client repeats all: what was done before is not done again.
func (r *Receiver) serveKeptIDs(w http.ResponseWriter, req *http.Request, do func(id string) (receiverstatus.KeptOutcome, error)) {
	var in receiverstatus.KeptIDs
	decoder := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxKeptBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil || len(in.IDs) > receiverstatus.MaxKeptIDs {
		http.Error(w, "the body must be a list of at most 500 IDs", http.StatusBadRequest)
		return
	}
	out := receiverstatus.KeptOutcomes{Items: []receiverstatus.KeptOutcome{}}
	for _, id := range in.IDs {
		o, err := do(id)
		if err != nil {
			r.keptFailed(w, err)
			return
		}
		out.Items = append(out.Items, o)
	}
	r.answerJSON(w, out)
}

func (r *Receiver) keptFailed(w http.ResponseWriter, err error) {
	r.o.Log.Error(err, "What is kept could not be read or changed")
	w.Header().Set("Retry-After", "2")
	http.Error(w, "the volume does not answer as it should; see the receiver's log", http.StatusServiceUnavailable)
}

func (r *Receiver) answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		r.o.Log.V(1).Info("An answer could not be sent", "error", err.Error())
	}
}

// kept counts what is kept.
func (r *Receiver) kept() *receiverstatus.KeptStatus {
	s := &receiverstatus.KeptStatus{}
	r.intake.CountQuarantined(s)
	r.pipeline.CountKept(s)
	return s
}

// tidyInterval is how often it is looked for items that were in quarantine for
// long enough.
const tidyInterval = time.Hour

// tidy removes them until ctx ends.
func (r *Receiver) tidy(ctx context.Context) {
	timer := r.o.Clock.NewTimer(tidyInterval)
	defer timer.Stop()
	for {
		if err := r.intake.ForgetQuarantined(); err != nil {
			r.o.Log.Error(err, "The quarantine could not be tidied; trying again in an hour")
		}
		timer.Reset(tidyInterval)
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
	}
}
