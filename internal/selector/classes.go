package selector

import (
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// typeOfSecrets and sourceOfSecrets are what records of calls on Secrets have as
// resource type and event source. sourceOfURLs begins the source of calls on URLs
// that are no objects.
const (
	typeOfSecrets   = "K8S::core::Secret" //nolint:gosec // a type, not a secret
	sourceOfSecrets = "core.k8s.io"       //nolint:gosec // nor is this
	sourceOfURLs    = "apiserver."
)

// Names of events, or how they begin. Other groups have kinds whose names end like
// those of Secrets.
var (
	readsOfSecrets   = []string{"GetSecret", "ListSecrets", "WatchSecrets"}
	changesOfSecrets = []string{"CreateSecret", "UpdateSecret", "PatchSecret", "DeleteSecret", "DeleteSecrets"}
	reads            = []string{"Get", "List", "Watch"}
	changes          = []string{"Create", "Update", "Patch", "Delete"}
	sessions         = []string{"Exec", "Attach", "PortForward"}
)

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
	one := wanted{}
	one.access(rw)
	if slices.Contains(b.ExcludeManagementEventSources, sourceOfSecrets) {
		delete(one, receiverstatus.ClassSecret)
	}
	w.merge(one, false)
}

// merge adds what another selector wants. Nothing that is narrow is asked for.
func (w wanted) merge(other wanted, narrow bool) {
	for class, asked := range other {
		w.add(class, asked && !narrow)
	}
}

func (w wanted) advanced(a *v1alpha1.AdvancedEventSelector) {
	rw, narrow := readAndWrite, false
	var types, names, sources v1alpha1.FieldSelector
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
			types = *f
		case v1alpha1.FieldEventName:
			names = *f
		case v1alpha1.FieldEventSource:
			sources = *f
		default:
			// Certain users or objects, of which the manager's calls prove nothing.
			narrow = narrow || len(f.Equals)+len(f.StartsWith)+len(f.EndsWith) > 0
		}
	}
	from := slices.Concat(sources.Equals, sources.StartsWith)
	if len(from) > 0 && !slices.ContainsFunc(from, func(s string) bool { return !strings.HasPrefix(s, sourceOfURLs) }) {
		return
	}
	one, name := wanted{}, newCondition(&names)
	switch byName := slices.Concat(names.Equals, names.StartsWith); {
	case len(types.Equals) > 0 && !slices.ContainsFunc(types.Equals, func(s string) bool { return s != typeOfSecrets }):
		one.add(receiverstatus.ClassSecret, true)
	case len(byName) > 0:
		one.named(byName, rw)
		if rw != onlyWrite && slices.ContainsFunc(readsOfSecrets, name.holds) {
			one.add(receiverstatus.ClassSecret, false)
		}
	default:
		one.access(rw)
		excluded := func(class receiverstatus.Class, beginnings []string) {
			if !slices.ContainsFunc(beginnings, func(s string) bool { return !name.excludes(s) }) {
				delete(one, class)
			}
		}
		excluded(receiverstatus.ClassRead, reads)
		excluded(receiverstatus.ClassWrite, changes)
		excluded(receiverstatus.ClassSecret, readsOfSecrets)
	}
	if !newCondition(&types).holds(typeOfSecrets) || !newCondition(&sources).holds(sourceOfSecrets) {
		delete(one, receiverstatus.ClassSecret)
	}
	w.merge(one, narrow)
}

// named adds what a selector of events by name, or by how their names begin, wants.
func (w wanted) named(names []string, rw access) {
	for _, name := range names {
		begins := func(with string) bool { return strings.HasPrefix(name, with) }
		switch {
		case slices.Contains(readsOfSecrets, name), slices.Contains(changesOfSecrets, name):
			w.add(receiverstatus.ClassSecret, true)
		case slices.ContainsFunc(sessions, begins):
		case slices.ContainsFunc(reads, begins):
			if rw != onlyWrite {
				w.add(receiverstatus.ClassRead, true)
			}
		case rw != onlyRead:
			w.add(receiverstatus.ClassWrite, true)
		}
	}
}
