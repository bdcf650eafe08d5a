package mapping

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined by SHA-1; it protects nothing.
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// eventNamespace is the namespace of the UUIDs of events:
// UUIDv5(NameSpace_DNS, "events.trail-operator.io").
var eventNamespace = [16]byte{
	0xa7, 0x48, 0x14, 0xa4, 0x06, 0xd1, 0x51, 0x87, 0xb4, 0x65, 0xd9, 0x97, 0x77, 0xa3, 0x56, 0xf4,
}

// appendUUID appends the UUIDv5 of an event key.
func appendUUID(dst, key []byte) []byte {
	var buf [64]byte
	in := append(append(buf[:0], eventNamespace[:]...), key...)
	sum := sha1.Sum(in) //nolint:gosec // see the import
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	dst = hex.AppendEncode(dst, sum[:4])
	for _, part := range [...][]byte{sum[4:6], sum[6:8], sum[8:10], sum[10:16]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// failure is why a call failed; it is empty where it did not.
type failure struct{ code, message string }

// failureOf returns the error of e: the HTTP status decides, not the body.
func failureOf(e *auditevent.Event) failure {
	switch {
	case e.Code >= 400, e.Code == 0 && (e.Stage == "Panic" || e.Status == "Failure"):
	default:
		return failure{}
	}
	f := failure{message: e.Message}
	switch {
	case e.Code == 403:
		f.code = "AccessDenied"
	case e.Code == 401:
		f.code = "UnauthorizedOperation"
	case e.Reason != "":
		f.code = e.Reason
	default:
		f.code = reasonOf(e.Code)
	}
	return f
}

// reasonOf names an HTTP status as Kubernetes does, for answers without a
// reason: those of handlers that are not about objects.
func reasonOf(code int) string {
	switch code {
	case 400:
		return "BadRequest"
	case 404:
		return "NotFound"
	case 405:
		return "MethodNotAllowed"
	case 406:
		return "NotAcceptable"
	case 409:
		return "Conflict"
	case 410:
		return "Gone"
	case 413:
		return "RequestEntityTooLarge"
	case 415:
		return "UnsupportedMediaType"
	case 422:
		return "Invalid"
	case 429:
		return "TooManyRequests"
	case 0, 500:
		return "InternalError"
	case 503:
		return "ServiceUnavailable"
	case 504:
		return "Timeout"
	}
	return "HTTP" + strconv.Itoa(code)
}

// sourceIP returns the address of the client: the last one that the API server
// and the trusted proxies vouch for. What stands left of it is a claim.
func (m *Mapper) sourceIP(ips []string) string {
	if len(ips) == 0 {
		return "unknown"
	}
	i := len(ips) - 1
	for i > 0 && m.isProxy(ips[i]) {
		i--
	}
	return cut(ips[i], maxText)
}

func (m *Mapper) isProxy(s string) bool {
	if len(m.proxies) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, p := range m.proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// objectName returns the name of the object of e. The API server gives a name
// to what is created with generateName: it stands in the answer alone.
func objectName(e *auditevent.Event, c *call) string {
	name := e.ObjectRef.Name
	if name == "" && e.Verb == "create" && e.ObjectRef.Subresource == "" && e.Code < 400 && e.ResponseObject != nil &&
		c.resource != "" && text(e.ResponseObject.Get("kind")) != "Status" {
		name = text(e.ResponseObject.Get("metadata", "name"))
	}
	return cut(name, maxText)
}

// appendResourceARN appends the ARN of the object of e. A collection, or an
// object whose name is not known, has the name *. A Namespace is no object
// of itself, although the API server says so of all but its creation.
func (m *Mapper) appendResourceARN(dst []byte, e *auditevent.Event, c *call) []byte {
	dst = m.appendARN(dst, c.group)
	if c.resource != "namespaces" || c.group != "core" {
		dst = append(dst, cut(e.ObjectRef.Namespace, maxText)...)
	}
	dst = append(dst, '/')
	dst = append(dst, c.resource...)
	dst = append(dst, '/')
	name := objectName(e, c)
	if name == "" || e.Verb == "deletecollection" {
		name = "*"
	}
	return append(dst, name...)
}

// runsCommand reports whether a call through a node's proxy asks the kubelet to
// run, attach or forward, which a GET can do too.
func runsCommand(e *auditevent.Event, c *call) bool {
	if !c.proxied || c.resource != "nodes" || c.group != "core" {
		return false
	}
	path, _, _ := strings.Cut(e.RequestURI, "?")
	_, path, _ = strings.Cut(path, "/nodes/")
	_, path, _ = strings.Cut(path, "/proxy/")
	path = strings.TrimLeft(path, "/")
	first, _, _ := strings.Cut(path, "/")
	first = string(appendUnescaped(nil, first))
	switch strings.ToLower(strings.Trim(first, "/")) {
	case "exec", "run", "attach", "portforward", "cri":
		return true
	}
	return false
}

// readable reports whether the redactor can look into a body.
func readable(v *fastjson.Value) bool {
	return v.Type() == fastjson.TypeObject || v.Type() == fastjson.TypeArray
}
