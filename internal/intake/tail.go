package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/serviceaccount"
)

// tailSuffix ends the source of a tail's chunks: what an API server sends and
// what stands in its log are two accounts.
const tailSuffix = "/tail"

// tailWait is how long a POST waits for one of the same source: of one that was
// given up by the client the end comes soon.
const tailWait = 5 * time.Second

// tailTrust is by what tails are known.
type tailTrust struct {
	config   []byte // that it was made of
	verifier *serviceaccount.Verifier
	// namespace of the tails' ServiceAccount.
	namespace string
}

// ConfigureTail lets tails post, or, with nil, does not. While it does, events
// are looked up in the index of events, so that those which a tail and a webhook
// bring are stored once. On an error what was before stays in force.
func (h *Handler) ConfigureTail(c *receiverconfig.Tail) error {
	if c == nil {
		h.tail.Store(nil)
		return h.index.switchOff()
	}
	made := fmt.Appendf(nil, "%q %q %s", c.Issuer, c.Namespace, c.Keys)
	if t := h.tail.Load(); t == nil || !bytes.Equal(t.config, made) {
		v, err := serviceaccount.NewVerifier(c.Issuer, receiverconfig.TailAudience, c.Keys)
		if err != nil {
			return err
		}
		h.tail.Store(&tailTrust{config: made, verifier: v, namespace: c.Namespace})
	}
	return h.index.switchOn(h.o.Clock.Now())
}

// identifyTail returns for which API server a client without a certificate
// posts, or the status and the sentence of the refusal.
func (h *Handler) identifyTail(r *http.Request, account string, now time.Time) (from source, code int, reason string) {
	trust := h.tail.Load()
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if trust == nil || !bearer {
		return from, http.StatusUnauthorized, "a client certificate is required"
	}
	from, ok := sourceOf(r)
	if !ok {
		return from, http.StatusNotFound, errPath
	}
	pod, err := trust.verifier.Verify(token, now)
	if err != nil {
		return from, http.StatusUnauthorized, err.Error()
	}
	switch {
	case pod.Namespace != trust.namespace || pod.ServiceAccount != receiverconfig.TailServiceAccount:
		return from, http.StatusForbidden, "the token is not of the ServiceAccount of the tails"
	case pod.Node != from.apiServer:
		return from, http.StatusForbidden, "the token is for another node than the path"
	case from.cluster != account:
		return from, http.StatusForbidden, "this receiver is for another cluster"
	}
	return from, 0, ""
}

// tailPost is one POST of a tail.
type tailPost struct {
	of       *tailSource
	sequence uint64
	// old: the sequence was answered before. A tail that sends it again sends the
	// same. One that sends something else has gone back, as with a machine that
	// was restored: that is stored like everything else, and changes no mark.
	old bool
	// stored are the chunks of a former try.
	stored []string
	// added: something was stored that a former try had not.
	added bool

	chunks []string // of this try
	newest time.Time
	// pending is a chunk that was cut and not appended: it may be the last.
	pending    [32]byte
	hasPending bool
}

// errors of beginTail.
var (
	errTailHeaders = errors.New("the headers " + receiverconfig.HeaderTailSource + ", a UUID, and " + receiverconfig.HeaderTailSequence + ", a number from 1, are required")
	errTailBusy    = errors.New("another POST of this source is under way")
	errTailGap     = errors.New("sequences were left out")
)

// beginTail finds out what a POST is to its source. The caller must end it.
func (h *Handler) beginTail(r *http.Request, from source) (*tailPost, error) {
	id, err := uuid.Parse(r.Header.Get(receiverconfig.HeaderTailSource))
	if err != nil || id.String() != r.Header.Get(receiverconfig.HeaderTailSource) {
		return nil, errTailHeaders
	}
	sequence, err := strconv.ParseUint(r.Header.Get(receiverconfig.HeaderTailSequence), 10, 64)
	if err != nil || sequence == 0 {
		return nil, errTailHeaders
	}
	ctx, cancel := context.WithTimeout(r.Context(), tailWait)
	defer cancel()
	of, err := h.tails.take(ctx, h.o.Spool, from, id.String())
	if err != nil {
		return nil, err
	}
	p := &tailPost{of: of, sequence: sequence}
	switch mark := of.state.Sequence; {
	case !of.known():
	case sequence <= mark:
		if p.old = true; sequence == mark {
			p.stored = of.state.Last
		}
	case sequence > mark+1:
		return p, errTailGap
	default:
		p.stored = of.state.Partial
	}
	return p, nil
}

// had reports whether the next chunk was stored in a former try.
func (p *tailPost) had(id [32]byte) bool {
	n := len(p.chunks)
	return n < len(p.stored) && p.stored[n] == chunkName(id)
}

// take counts a chunk among those of this try.
func (p *tailPost) take(id [32]byte) {
	if len(p.chunks) < maxPartial {
		p.chunks = append(p.chunks, chunkName(id))
	}
}

// next is the state of the source when the chunks up to now are stored.
func (p *tailPost) next(now time.Time) tailState {
	next := p.of.state
	next.LastPost, next.Partial, next.Sequence = now.UTC(), p.chunks, p.sequence-1
	return next
}

// done is the state of the source when all is stored.
func (p *tailPost) done(now time.Time) tailState {
	next := p.of.state
	next.LastPost, next.Partial, next.Last, next.Sequence = now.UTC(), nil, p.chunks, p.sequence
	if !p.newest.IsZero() {
		next.Newest = p.newest.UTC()
	}
	return next
}
