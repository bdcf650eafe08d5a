package selector

import (
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// typeOfSecrets is the resource type of Secrets in records.
const typeOfSecrets = "K8S::core::Secret" //nolint:gosec // a type, not a secret

// Classes returns of which classes a valid selection wants calls. The value is
// true for those that it asks for by themselves, so that it is not met without
// them; false for those that come with the rest. Sessions and other calls are
// left out: nobody can make them only to see whether they arrive.
func Classes(sel v1alpha1.EventSelection) map[receiverstatus.Class]bool {
	w := wanted{}
	if sel.Basic == nil && sel.Advanced == nil {
		w.access(readAndWrite)
	}
	for i := range sel.Basic {
		w.basic(&sel.Basic[i])
	}
	for i := range sel.Advanced {
		w.advanced(&sel.Advanced[i])
	}
	return w
}

type wanted map[receiverstatus.Class]bool

func (w wanted) add(c receiverstatus.Class, asked bool) { w[c] = w[c] || asked }

// access adds what a selector of reads, of writes or of both wants.
func (w wanted) access(rw access) {
	if rw != onlyWrite {
		w.add(receiverstatus.ClassRead, rw == onlyRead)
		w.add(receiverstatus.ClassSecret, rw == onlyRead)
	}
	if rw != onlyRead {
		w.add(receiverstatus.ClassWrite, true)
	}
}

func (w wanted) basic(b *v1alpha1.BasicEventSelector) {
	if b.IncludeManagementEvents != nil && !*b.IncludeManagementEvents {
		return
	}
	rw := readAndWrite
	switch b.ReadWriteType {
	case v1alpha1.ReadOnly:
		rw = onlyRead
	case v1alpha1.WriteOnly:
		rw = onlyWrite
	}
	w.access(rw)
}

func (w wanted) advanced(a *v1alpha1.AdvancedEventSelector) {
	rw, narrow := readAndWrite, false
	var names, types, sources []string
	for i := range a.FieldSelectors {
		f := &a.FieldSelectors[i]
		switch f.Field {
		case v1alpha1.FieldEventCategory:
			if slices.Contains(f.Equals, record.CategoryData) {
				return
			}
		case v1alpha1.FieldReadOnly:
			rw = onlyWrite
			if slices.Contains(f.Equals, "true") {
				rw = onlyRead
			}
		case v1alpha1.FieldResourcesType:
			types = f.Equals
		case v1alpha1.FieldEventName:
			names = slices.Concat(f.Equals, f.StartsWith)
		case v1alpha1.FieldEventSource:
			sources = f.Equals
		default:
			// Certain users or objects, of which the manager's calls prove nothing.
			narrow = narrow || len(f.Equals)+len(f.StartsWith)+len(f.EndsWith) > 0
		}
	}
	one := wanted{}
	switch {
	case len(sources) > 0 && !slices.ContainsFunc(sources, func(s string) bool { return s != "apiserver.k8s.io" }):
		return // URLs that are no objects
	case len(types) > 0 && !slices.ContainsFunc(types, func(s string) bool { return s != typeOfSecrets }):
		one.add(receiverstatus.ClassSecret, true)
	case len(names) > 0:
		one.named(names, rw)
	default:
		one.access(rw)
	}
	for class, asked := range one {
		w.add(class, asked && !narrow)
	}
}

// named adds what a selector of events by name, or by how their names begin, wants.
func (w wanted) named(names []string, rw access) {
	begins := func(name string, with ...string) bool {
		return slices.ContainsFunc(with, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, "Secret"), strings.HasSuffix(name, "Secrets"):
			w.add(receiverstatus.ClassSecret, true)
		case begins(name, "Exec", "Attach", "PortForward"):
		case begins(name, "Get", "List", "Watch"):
			if rw != onlyWrite {
				w.add(receiverstatus.ClassRead, true)
			}
		case rw != onlyRead:
			w.add(receiverstatus.ClassWrite, true)
		}
	}
}
