package mapping

import (
	"strings"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

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
	// head and parameters are JSON: the record from the end of eventTime to the
	// beginning of sourceIPAddress, and the beginning of requestParameters.
	head, parameters string
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
	c := m.classify(k)
	c.head = `","eventSource":` + quoted(c.eventSource) + `,"eventName":` + quoted(c.eventName) + m.region + `,"sourceIPAddress":`
	c.parameters = `{"verb":` + quoted(k.verb)
	for _, field := range [...]struct{ key, value string }{
		{`,"group":`, c.group}, {`,"resource":`, k.resource}, {`,"subresource":`, k.subresource},
	} {
		if field.value != "" {
			c.parameters += field.key + quoted(field.value)
		}
	}
	return &c
}

func quoted(s string) string { return string(appendString(nil, s)) }

func (m *Mapper) classify(k callKey) call {
	if k.resource == "" {
		return call{
			eventName:   camel(orUnknown(k.verb)) + "NonResourceURL",
			eventSource: "apiserver.k8s.io",
			readOnly:    k.verb == "get" || k.verb == "head" || k.verb == "options",
			proxied:     true,
		}
	}
	kind := m.kind(groupResource{k.group, k.resource})
	return call{
		eventName:    eventName(k, kind),
		eventSource:  eventSource(k.group),
		group:        coreGroup(k.group),
		resource:     k.resource,
		resourceType: "K8S::" + coreGroup(k.group) + "::" + kind,
		readOnly:     readOnly(k),
		data:         isData(k),
		bodies:       bodyPolicy(k),
		arguments:    isPod(k) && k.subresource == "exec",
		proxied:      k.subresource == "proxy",
	}
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
