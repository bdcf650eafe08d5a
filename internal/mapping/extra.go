package mapping

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// Keys of user.extra that Kubernetes fills.
const (
	extraKubernetes   = "authentication.kubernetes.io/"
	extraCredentialID = extraKubernetes + "credential-id"
	extraPodName      = extraKubernetes + "pod-name"
)

// extraMember is the value of a member of user.extra that userIdentity shows.
type extraMember struct {
	value string // as it is shown there: the first of the list
	// start and end are where the member stands, if value is exactly what it
	// holds, so that nothing is lost without it. They are 0 otherwise.
	start, end int
}

// extraMembers returns the members of user.extra that name the credential of
// the user and the pod of a service account.
func extraMembers(extra *auditevent.JSON) (credential, pod extraMember) {
	for members := extra.Members(); members.Next(); {
		var m *extraMember
		name, escaped := members.Name()
		switch name {
		case extraCredentialID:
			m = &credential
		case extraPodName:
			m = &pod
		default:
			if !escaped {
				continue
			}
		}
		value, only := "", false
		if m != nil && m.end == 0 {
			value, only = members.Only()
		}
		if !only { // or it stands twice, or its name has to be decoded
			return extraMember{value: cut(extra.First(extraCredentialID), maxText)},
				extraMember{value: cut(extra.First(extraPodName), maxText)}
		}
		m.value = value
		m.start, m.end = members.Span()
	}
	return credential.shown(), pod.shown()
}

func (m extraMember) shown() extraMember {
	if s := cut(m.value, maxText); s == "" || s != m.value {
		return extraMember{value: s}
	}
	return m
}

// restOfExtra returns user.extra of the effective user without the members that
// userIdentity says exactly.
func (m *Mapper) restOfExtra(extra auditevent.JSON, who *identity) auditevent.JSON {
	first, second := who.repeated[0], who.repeated[1]
	if second.start < first.start {
		first, second = second, first
	}
	if second.end == 0 {
		return extra
	}
	m.extra = m.extra[:0]
	raw, from := extra.Raw(), 0
	for _, part := range [...]extraMember{first, second} {
		if part.end == 0 {
			continue
		}
		m.extra = append(m.extra, raw[from:part.start]...)
		for from = part.end; isSpace(raw[from]); {
			from++
		}
		if raw[from] == ',' {
			from++
		}
	}
	for isSpace(raw[from]) {
		from++
	}
	if raw[from] == '}' { // then the comma in front goes, if there is one
		n := len(m.extra)
		for isSpace(m.extra[n-1]) {
			n--
		}
		m.extra = m.extra[:n]
		m.extra = bytes.TrimSuffix(m.extra, []byte{','})
	}
	m.extra = append(m.extra, raw[from:]...)
	return extra.With(m.extra)
}

// appendExtra appends user.extra without what authenticators may have put there
// of the token itself.
func appendExtra(dst []byte, extra *auditevent.JSON) []byte {
	if dst, ok := appendPlain(dst, extra.Raw(), hidesExtra); ok {
		return dst
	}
	dst = append(dst, '{')
	first := true
	extra.Value().GetObject().Visit(func(key []byte, v *fastjson.Value) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		name := alias(key)
		p := policyOpen
		if hidesExtra(name) {
			p = policyHidden
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendBody(dst, v, p)
	})
	return append(dst, '}')
}

func hidesExtra(name string) bool {
	return !strings.HasPrefix(name, extraKubernetes) && isCredentialName(name)
}
