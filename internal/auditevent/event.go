// Package auditevent reads the audit.k8s.io/v1 events that kube-apiserver
// sends: it cuts the body of a POST into items, decides which of them can
// become a record, and removes what must not be stored. It is pure.
package auditevent

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

// Stages of a request, as kube-apiserver names them.
const (
	StageRequestReceived  = "RequestReceived"
	StageResponseStarted  = "ResponseStarted"
	StageResponseComplete = "ResponseComplete"
	StagePanic            = "Panic"
)

// MaxBody is the size in bytes up to which the JSON values of an event can be
// decoded. A larger one is not there and listed in Omitted, since no record can hold
// it; of larger annotations the short ones remain.
const MaxBody = 100 << 10

// Event is one audit event. Its strings and values alias the item it was
// parsed from and the memory of the parser.
type Event struct {
	Level, AuditID, Stage       string
	RequestURI, Verb, UserAgent string

	User             User
	Impersonated     bool
	ImpersonatedUser User // of an impersonated call

	// SourceIPs are as the API server saw them. Only the last is certain.
	SourceIPs []string

	HasObjectRef bool
	ObjectRef    ObjectRef

	// Of responseStatus; Code is the HTTP status, 0 when there is none.
	Code                    int
	Status, Reason, Message string

	// As received.
	RequestReceivedTimestamp, StageTimestamp string
	// Time is StageTimestamp.
	Time time.Time

	RequestObject, ResponseObject, Annotations, AuthenticationMetadata JSON

	// Omitted names the members that were left out, wholly or in part, because
	// the event was too large.
	Omitted []string

	item    []byte
	high    bool // item has bytes beyond ASCII
	members []member
	encoded []byte // of Key
}

// User is an authenticated user.
type User struct {
	Username, UID string
	Groups        []string
	Extra         JSON

	extra []byte
}

// ObjectRef is the object that a call was about.
type ObjectRef struct {
	Resource, Subresource, Namespace, Name, UID, APIGroup, APIVersion, ResourceVersion string
}

// Key identifies the event among all events of all clusters. auditID alone
// does not: clients choose it, and one call makes several events. Bodies and
// annotations are left out, so that every way by which an event arrives gives
// the same key. Each field is preceded by its length, each list by its size.
func (e *Event) Key(cluster string) [sha256.Size]byte {
	b := e.encoded[:0]
	for _, s := range [...]string{
		cluster, e.AuditID, e.Stage, e.StageTimestamp, e.RequestReceivedTimestamp, e.Verb, e.RequestURI,
	} {
		b = appendKeyField(b, s)
	}
	b = appendKeyUser(b, &e.User)
	if e.Impersonated {
		b = appendKeyUser(append(b, 1), &e.ImpersonatedUser)
	} else {
		b = append(b, 0)
	}
	b = appendKeyList(b, e.SourceIPs)
	b = binary.AppendVarint(b, int64(e.Code))
	e.encoded = b
	return sha256.Sum256(b)
}

func appendKeyUser(b []byte, u *User) []byte {
	b = appendKeyField(b, u.Username)
	b = appendKeyField(b, u.UID)
	b = appendKeyList(b, u.Groups)
	return appendKeyField(b, alias(u.extra))
}

func appendKeyList(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendKeyField(b, s)
	}
	return b
}

func appendKeyField(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// MakesRecord reports whether this event is the one of its call that becomes
// a record. ResponseStarted is sent for long-running calls, whose end may be
// days away, and for calls that were refused before anything else: a failed
// authentication, a bad timeout. The end of a long-running call repeats its
// start. A panic is always recorded, since nothing may have come before it.
func (e *Event) MakesRecord() bool {
	switch e.Stage {
	case StageResponseStarted, StagePanic:
		return true
	case StageResponseComplete:
		return !e.longRunning()
	}
	return false
}

// longRunning is kube-apiserver's own rule for sending ResponseStarted.
func (e *Event) longRunning() bool {
	switch e.Verb {
	case "watch", "proxy":
		return true
	}
	if !e.HasObjectRef {
		return strings.HasPrefix(e.RequestURI, "/debug/pprof/")
	}
	switch e.ObjectRef.Subresource {
	case "attach", "exec", "proxy", "log", "portforward":
		return true
	}
	return false
}
