package mapping

import (
	"strings"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

//go:generate sh -c "go run ./genkinds $(go list -C ../../hack/kube -m -f {{.Dir}} k8s.io/kubernetes)/api/discovery > kinds_builtin.new && mv kinds_builtin.new kinds_builtin.go"

// groupResource names a resource; the core group is the empty one.
type groupResource struct{ group, resource string }

// callKey is all of an event on which its name, source and category depend.
// The audit level is not part of it, nor is any body.
type callKey struct{ verb, group, resource, subresource string }

// call is what a callKey means.
type call struct {
	eventName    string
	eventSource  string
	group        string // as it stands in ARNs and types
	resource     string
	resourceType string // K8S::<group>::<Kind>; empty for non-resource URLs
	readOnly     bool
	data         bool // data event, else management event
	bodies       policy
	// arguments says that the query option "command" is an argument list.
	arguments bool
	// proxied says that the path goes on after the resource.
	proxied bool
}

// Bounds of the cache of calls. Any client can ask for resources that do not
// exist, so the cache is emptied when it is full, and long keys stay out.
const (
	maxCalls    = 4096
	maxCallKey  = 512
	maxNamePart = 128
	maxGroup    = 253
)

// call returns what the verb and the resource of e mean.
func (m *Mapper) call(e *auditevent.Event) *call {
	key := callKey{verb: e.Verb}
	if e.HasObjectRef {
		key.group, key.resource, key.subresource = e.ObjectRef.APIGroup, e.ObjectRef.Resource, e.ObjectRef.Subresource
	}
	if c, ok := m.calls[key]; ok {
		return c
	}
	// The strings live in the event's buffer.
	key = callKey{
		strings.Clone(cut(key.verb, maxGroup)), strings.Clone(cut(key.group, maxGroup)),
		strings.Clone(cut(key.resource, maxGroup)), strings.Clone(cut(key.subresource, maxGroup)),
	}
	c := m.newCall(key)
	if len(key.verb)+len(key.group)+len(key.resource)+len(key.subresource) <= maxCallKey {
		if len(m.calls) >= maxCalls {
			clear(m.calls)
		}
		m.calls[key] = c
	}
	return c
}

func (m *Mapper) newCall(k callKey) *call {
	if k.resource == "" {
		return &call{
			eventName:   camel(orUnknown(k.verb)) + "NonResourceURL",
			eventSource: "apiserver.k8s.io",
			readOnly:    k.verb == "get" || k.verb == "head" || k.verb == "options",
			proxied:     true,
		}
	}
	kind := m.kind(groupResource{k.group, k.resource})
	c := &call{
		eventName:    eventName(k, kind),
		eventSource:  eventSource(k.group),
		group:        k.group,
		resource:     k.resource,
		resourceType: "K8S::" + coreGroup(k.group) + "::" + kind,
		readOnly:     readOnly(k),
		data:         isData(k),
		bodies:       bodyPolicy(k),
		arguments:    isPod(k) && k.subresource == "exec",
		proxied:      k.subresource == "proxy",
	}
	c.group = coreGroup(k.group)
	return c
}

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

func isPod(k callKey) bool { return k.group == "" && k.resource == "pods" }

// readOnly reports whether the call changes nothing. Exec, attach and port
// forwarding change the workload, whichever verb carried them: WebSocket
// clients send a GET and SPDY clients a POST.
func readOnly(k callKey) bool {
	if isPod(k) {
		switch k.subresource {
		case "exec", "attach", "portforward":
			return false
		}
	}
	switch k.verb {
	case "get", "list", "watch":
		return true
	}
	return isReview(k)
}

// isReview reports whether the call is a question put as a create.
func isReview(k callKey) bool {
	return (k.group == "authorization.k8s.io" || k.group == "authentication.k8s.io") &&
		strings.HasSuffix(k.resource, "reviews") && k.subresource == ""
}

// isData reports whether the call is part of the workload's own data plane.
func isData(k callKey) bool {
	return k.subresource == "proxy" || isPod(k) && (k.subresource == "log" || k.subresource == "portforward")
}

// bodyPolicy returns how the bodies of the call are redacted. It is the
// counterpart of auditevent's Sensitive.
func bodyPolicy(k callKey) policy {
	switch k.resource {
	case "secrets":
		return policySecret
	case "tokenreviews":
		return policyToken
	case "serviceaccounts":
		if k.subresource == "token" {
			return policyToken
		}
	case "oauthaccesstokens", "oauthauthorizetokens", "oauthclients", "useroauthaccesstokens":
		if k.group == "oauth.openshift.io" {
			return policySecret
		}
	}
	return policyOpen
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
