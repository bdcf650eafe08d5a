package mapping

import "github.com/trail-operator/trail-operator/internal/auditevent"

// objectName returns the name of the object of e. The API server gives a name
// to what is created with generateName: it stands in the answer alone.
func objectName(e *auditevent.Event, c *call) string {
	name := e.ObjectRef.Name
	if name == "" && e.Verb == "create" && e.ObjectRef.Subresource == "" && e.Code < 400 && c.resource != "" {
		if answer := e.ResponseObject.Value(); answer != nil && text(answer.Get("kind")) != "Status" {
			name = text(answer.Get("metadata", "name"))
		}
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
	if name == "" {
		name = "*"
	}
	return append(dst, name...)
}
