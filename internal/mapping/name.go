package mapping

import "strings"

//go:generate sh -c "go run ./genkinds $(go list -C ../../hack/kube -m -f {{.Dir}} k8s.io/kubernetes)/api/discovery > kinds_builtin.new && mv kinds_builtin.new kinds_builtin.go"

// kind returns the kind of a resource: of the API server itself, of the
// configuration's snapshot, or, where neither knows it, its own name.
func (m *Mapper) kind(r groupResource) string {
	if kind, ok := builtinKinds[r]; ok {
		return kind
	}
	if kind, ok := m.kinds[r]; ok {
		return kind
	}
	return camel(r.resource)
}

func coreGroup(group string) string {
	if group == "" {
		return "core"
	}
	return group
}

func eventSource(group string) string {
	group = coreGroup(group)
	if strings.Contains(group, ".") {
		return group
	}
	return group + ".k8s.io"
}

// eventName makes the name of a call on a resource.
func eventName(k callKey, kind string) string {
	if isPod(k) {
		switch {
		case k.subresource == "exec":
			return "ExecPod"
		case k.subresource == "attach":
			return "AttachPod"
		case k.subresource == "portforward":
			return "PortForwardPod"
		case k.subresource == "eviction" && k.verb == "create":
			return "EvictPod"
		case k.subresource == "binding" && k.verb == "create":
			return "BindPod"
		}
	}
	switch k.verb {
	case "list", "watch":
		kind = plural(kind, k.resource)
	case "deletecollection":
		return "Delete" + plural(kind, k.resource) + subresourceName(k.subresource)
	}
	return camel(orUnknown(k.verb)) + kind + subresourceName(k.subresource)
}

// plural is the kind with the ending of the resource, which the API server
// spells in lower case: NetworkPolicy, networkpolicies: NetworkPolicies.
func plural(kind, resource string) string {
	n := 0
	for n < len(kind) && n < len(resource) && kind[n]|0x20 == resource[n] {
		n++
	}
	if n == 0 {
		return camel(resource)
	}
	return kind[:n] + strings.Map(nameRune, cut(resource[n:], maxNamePart))
}

func subresourceName(s string) string {
	switch s {
	case "":
		return ""
	case "ephemeralcontainers":
		return "EphemeralContainers"
	case "portforward":
		return "PortForward"
	}
	return camel(s)
}

// camel makes a part of an event name: letters, digits and underscores alone,
// since readers allow no others, with a capital after each break.
func camel(s string) string {
	s = cut(s, maxNamePart)
	var b strings.Builder
	up := true
	for i := range len(s) {
		c := s[i]
		switch {
		case nameRune(rune(c)) < 0:
			up = true
			continue
		case up && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		up = false
		b.WriteByte(c)
	}
	if b.Len() == 0 {
		return "Unknown"
	}
	return b.String()
}

// nameRune drops what an event name cannot hold.
func nameRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
		return r
	}
	return -1
}

func orUnknown(verb string) string {
	if verb == "" {
		return "unknown"
	}
	return verb
}
