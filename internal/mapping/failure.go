package mapping

import (
	"strconv"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
)

// failure is why a call failed; it is empty where it did not.
type failure struct{ code, message string }

// failureOf returns the error of e: the HTTP status decides, not the body.
func failureOf(e *auditevent.Event, c *call) failure {
	switch {
	case e.Code >= 400, e.Code == 0 && (e.Stage == "Panic" || e.Status == "Failure"):
	default:
		return failure{}
	}
	f := failure{message: e.Message}
	if c.quotesSecret(e.Code) {
		f.message = record.Redacted
	}
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

// quotesSecret reports whether an answer with this HTTP status may quote the
// body of the request, and the body may hold a secret. Where kube-apiserver
// cannot read a body or merge a patch, it says so with the value it found, or
// with the first bytes of the body in hexadecimal.
func (c *call) quotesSecret(code int) bool {
	if c.bodies == policyOpen || code < 400 && code != 0 {
		return false
	}
	switch code {
	case 401, 403, 404, 409, 410, 429:
		return false
	}
	return true
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
