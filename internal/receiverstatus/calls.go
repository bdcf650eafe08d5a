package receiverstatus

import (
	"strings"
	"time"
)

// Class is a kind of calls, as audit policies tell them apart.
type Class string

// Classes. Each call that becomes a record is in one.
const (
	// ClassRead are get, list and watch of objects, but those below.
	ClassRead Class = "read"
	// ClassWrite are changes of objects, but those below.
	ClassWrite Class = "write"
	// ClassSecret are all calls on Secrets.
	ClassSecret Class = "secret"
	// ClassSession are exec, attach, port-forward, proxy and log.
	ClassSession Class = "session"
	// ClassOther are URLs that are no objects, and questions such as access reviews.
	ClassOther Class = "other"
)

// Classes are all of them.
var Classes = [...]Class{ClassRead, ClassWrite, ClassSecret, ClassSession, ClassOther}

// Calls are those of one class that an API server has sent since the receiver
// was started.
type Calls struct {
	Count int64 `json:"count"`
	// Bodies of them came at the levels Request and RequestResponse.
	Bodies int64 `json:"bodies"`
	// Last may be before the receiver was started; Count is 0 then.
	Last time.Time `json:"last"`
}

// Probe is what arrived of a few harmless calls that the manager has made one
// after the other over one connection, and so to one API server. What did not
// arrive of it, the API server does not send.
type Probe struct {
	ID string `json:"id"`
	// First is when the first of its calls arrived.
	First   time.Time `json:"first"`
	Classes []Class   `json:"classes"`
}

// ProbeClasses are the classes of the calls of a probe.
var ProbeClasses = [...]Class{ClassWrite, ClassRead, ClassSecret}

// MaxProbes is how many probes of one API server are told, the newest last. A
// manager that has just started makes one in half a minute: two at least must be
// old enough to prove something, see auditpolicy.ProbeLag.
const MaxProbes = 8

// Audit IDs of probes: a prefix, the probe's ID, a slash, a class.
const (
	probePrefix = "trail-operator-probe/"
	maxProbeID  = 64
)

// ProbeAuditID is the audit ID that the manager gives to a call of a probe.
func ProbeAuditID(id string, c Class) string { return probePrefix + id + "/" + string(c) }

// ParseProbe reads such an audit ID. Anybody can choose one: the user of the
// call decides whether it is the manager's.
func ParseProbe(auditID string) (id string, c Class, ok bool) {
	rest, ok := strings.CutPrefix(auditID, probePrefix)
	if !ok {
		return "", "", false
	}
	id, class, ok := strings.Cut(rest, "/")
	if !ok || id == "" || len(id) > maxProbeID {
		return "", "", false
	}
	for _, c := range ProbeClasses {
		if class == string(c) {
			return strings.Clone(id), c, true
		}
	}
	return "", "", false
}
