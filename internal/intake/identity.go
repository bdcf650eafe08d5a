package intake

import (
	"net/http"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// source is an API server: the cluster in the path is the account.
type source struct{ cluster, apiServer string }

func (s source) String() string { return s.cluster + "/" + s.apiServer }

// key is that of its history.
func (s source) key() string { return historyPrefix + s.String() }

// errPath is the sentence about every other path.
const errPath = "the path must be " + PathPrefix + "<cluster>/<apiserver>"

// sourceOf reads the path.
func sourceOf(r *http.Request) (from source, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, PathPrefix)
	if ok {
		from.cluster, from.apiServer, ok = strings.Cut(rest, "/")
	}
	return from, ok && isName(from.cluster) && isName(from.apiServer) && r.URL.RawPath == ""
}

// identify returns who posts, or the status and the sentence of the refusal.
// The path must say what the certificate says, so that no API server writes
// in the name of another.
func identify(r *http.Request, account string) (from source, code int, reason string) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return from, http.StatusUnauthorized, "a client certificate is required"
	}
	from, ok := sourceOf(r)
	if !ok {
		return from, http.StatusNotFound, errPath
	}
	subject := r.TLS.PeerCertificates[0].Subject
	switch {
	case !slices.Contains(subject.Organization, receiverconfig.AuditOrganization):
		return from, http.StatusForbidden, "the client certificate is not one for audit events"
	case subject.CommonName != from.cluster+":"+from.apiServer:
		return from, http.StatusForbidden, "the client certificate is for another cluster or API server than the path"
	case from.cluster != account:
		return from, http.StatusForbidden, "this receiver is for another cluster"
	}
	return from, 0, ""
}

// isName accepts what is a name in a path, in a certificate and in a log line.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 253
}
