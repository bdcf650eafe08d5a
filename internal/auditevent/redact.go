package auditevent

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trail-operator/trail-operator/internal/record"
)

// patchAnnotation begins the annotations in which the API server notes what
// mutating webhooks changed: values of the object included.
const patchAnnotation = "patch.webhook.admission.k8s.io/"

// maxIdentity is the longest name, namespace or UID of a body, in bytes of
// JSON, that is kept of a sensitive object. Kubernetes allows 253.
const maxIdentity = 512

// sensitive reports whether the bodies of the call carry credentials whatever
// they look like: Secrets, token requests and token reviews, and OpenShift's
// OAuth objects.
func (e *Event) sensitive() bool {
	switch e.ObjectRef.Resource {
	case "secrets", "tokenreviews":
		return true
	case "serviceaccounts":
		return e.ObjectRef.Subresource == "token"
	case "oauthaccesstokens", "oauthauthorizetokens", "oauthclients", "useroauthaccesstokens":
		return e.ObjectRef.APIGroup == "oauth.openshift.io"
	}
	return false
}

// Stored returns the event as it may be stored: without credentials in its
// requestURI, and, when the call is about credentials, without its bodies and
// without what else quotes them. keepBodies leaves the bodies, and only them. Of
// a removed body remain name, namespace and uid. The result is valid UTF-8. It
// is the item itself, which same says, or in the memory of buffer.
func (e *Event) Stored(buffer []byte, keepBodies bool) (stored []byte, same bool) {
	uri, changed := redactURI(e.RequestURI)
	sensitive := e.sensitive()
	stored, same = e.item, true
	if changed || sensitive {
		stored, same = e.appendRedacted(buffer[:0], uri, changed, sensitive, keepBodies), false
	}
	// The API server passes patches on as their clients sent them.
	if e.high && !utf8.Valid(stored) {
		stored, same = bytes.ToValidUTF8(stored, []byte("\uFFFD")), false
	}
	return stored, same
}

// AppendStored appends what Stored returns.
func (e *Event) AppendStored(dst []byte, keepBodies bool) []byte {
	stored, _ := e.Stored(nil, keepBodies)
	return append(dst, stored...)
}

func (e *Event) appendRedacted(dst []byte, uri string, uriChanged, sensitive, keepBodies bool) []byte {
	dst = append(dst, '{')
	first := true
	for _, m := range e.members {
		if m.field == fieldOther && sensitive {
			continue // nothing reads it, and nobody knows what it holds
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		key, v := e.item[m.key:m.start], e.item[m.start:m.end]
		dst = append(dst, key...)
		switch {
		case m.field == fieldRequestURI && uriChanged:
			dst = appendString(dst, uri)
		case !sensitive:
			dst = append(dst, v...)
		case m.field == fieldRequestObject, m.field == fieldResponseObject:
			if keepBodies {
				dst = append(dst, v...)
			} else {
				dst = appendIdentity(dst, v)
			}
		case m.field == fieldResponseStatus && quotesBody(e.Code):
			dst = e.appendStatus(dst)
		case m.field == fieldAnnotations:
			dst = appendAnnotations(dst, v)
		default:
			dst = append(dst, v...)
		}
	}
	return append(dst, '}')
}

// appendIdentity appends what remains of a sensitive body.
func appendIdentity(dst, body []byte) []byte {
	if body[0] == 'n' {
		return append(dst, body...)
	}
	dst = append(dst, '{')
	if metadata := memberOf(body, "metadata"); len(metadata) > 0 && metadata[0] == '{' {
		dst = append(dst, `"metadata":{`...)
		first := true
		for _, key := range [...]string{"name", "namespace", "uid"} {
			v := memberOf(metadata, key)
			if len(v) == 0 || v[0] != '"' || len(v) > maxIdentity {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(append(append(dst, '"'), key...), `":`...)
			dst = append(dst, v...)
		}
		dst = append(dst, `},`...)
	}
	return append(dst, `"redacted":"`+record.Redacted+`"}`...)
}

// memberOf returns the value of a member of an object that was scanned, or
// nothing.
func memberOf(v []byte, key string) []byte {
	if v[0] != '{' {
		return nil
	}
	var s scanner
	o := object{b: v, i: 1, depth: 1}
	for o.next(&s) == scanned {
		if string(o.key) == key {
			return o.b[o.start:o.i]
		}
	}
	return nil
}

// quotesBody reports whether the API server may quote the request's body in
// the message of an answer with this code, as it does for invalid objects and
// patches.
func quotesBody(code int) bool {
	switch code {
	case 401, 403, 404, 409, 410, 429:
		return false
	}
	return code == 0 || code >= 400
}

// appendStatus appends responseStatus without its message and details.
func (e *Event) appendStatus(dst []byte) []byte {
	dst = append(dst, `{"metadata":{}`...)
	for _, f := range [...]struct{ key, value string }{{"status", e.Status}, {"reason", e.Reason}} {
		if f.value != "" {
			dst = append(append(append(dst, `,"`...), f.key...), `":`...)
			dst = appendString(dst, f.value)
		}
	}
	if e.Message != "" {
		dst = append(dst, `,"message":"`+record.Redacted+`"`...)
	}
	dst = append(dst, `,"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	return append(dst, '}')
}

func appendAnnotations(dst, v []byte) []byte {
	if v[0] != '{' {
		return append(dst, v...)
	}
	dst = append(dst, '{')
	var s scanner
	first := true
	o := object{b: v, i: 1, depth: 1}
	for o.next(&s) == scanned {
		if o.escaped || strings.HasPrefix(alias(o.key), patchAnnotation) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, o.b[o.at:o.i]...)
	}
	return append(dst, '}')
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
