package selector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
)

// captured is an event as a kube-apiserver sent it, and what of its record
// selectors read.
type captured struct {
	auditv1.Event
	facts record.Facts
}

// String names a call for people.
func (e *captured) String() string {
	o := e.ObjectRef
	if o == nil {
		return fmt.Sprintf("%s %s by %s", e.Verb, e.RequestURI, e.User.Username)
	}
	return fmt.Sprintf("%s %s.%s/%s %s/%s by %s", e.Verb, o.Resource, o.APIGroup, o.Subresource, o.Namespace, o.Name, e.User.Username)
}

// is reports whether the call is on one of these resources: resource/subresource.
func (e *captured) is(resources ...string) bool {
	return e.ObjectRef != nil && slices.Contains(resources, e.ObjectRef.Resource+"/"+e.ObjectRef.Subresource)
}

func (e *captured) group() string {
	if e.ObjectRef == nil {
		return "none"
	}
	return e.ObjectRef.APIGroup
}

// data reports whether it is the workload's own data plane, by the words of
// the documentation.
func (e *captured) data() bool {
	return e.is("pods/log", "pods/portforward", "pods/proxy", "nodes/proxy", "services/proxy")
}

// writes reports whether the call changes something.
func (e *captured) writes() bool {
	switch {
	case e.is("pods/exec", "pods/attach"): // whatever verb carried them
		return true
	case e.ObjectRef != nil && strings.HasSuffix(e.ObjectRef.Resource, "reviews"):
		return false
	}
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection", "post", "put"}, e.Verb)
}

// machine reports whether the control plane or a kubelet called.
func (e *captured) machine() bool {
	return strings.HasPrefix(e.User.Username, "system:node:") || strings.HasPrefix(e.User.Username, "system:kube-") || e.User.Username == "system:apiserver"
}

// controller reports whether it was one of kube-controller-manager's.
func (e *captured) controller() bool {
	return strings.HasPrefix(e.User.Username, "system:serviceaccount:kube-system:")
}

// collected maps the items of a body.
type collected struct {
	t      *testing.T
	mapper *mapping.Mapper
	list   []captured
}

func (c *collected) Item(it *auditevent.Item) error {
	if it.Err != nil {
		return it.Err
	}
	if !it.Event.MakesRecord() {
		return nil
	}
	stored := it.Event.AppendStored(nil, false)
	var p auditevent.Parser
	e, err := p.Parse(stored)
	if err != nil {
		return err
	}
	var one captured
	if err := json.Unmarshal(stored, &one.Event); err != nil {
		return err
	}
	c.mapper.Append(nil, e, mapping.Source{Cluster: "000000000042", APIServer: "cp-1", Via: "webhook"}, &one.facts)
	one.facts = clone(one.facts)
	c.list = append(c.list, one)
	return nil
}

// clone keeps facts, whose memory the mapper uses again.
func clone(f record.Facts) record.Facts {
	for _, s := range []*string{&f.Category, &f.EventName, &f.EventSource, &f.EventType, &f.UserARN, &f.Namespace} {
		*s = strings.Clone(*s)
	}
	f.Resources = slices.Clone(f.Resources)
	for i := range f.Resources {
		f.Resources[i] = record.FactResource{Type: strings.Clone(f.Resources[i].Type), ARN: strings.Clone(f.Resources[i].ARN)}
	}
	return f
}

func (*collected) Cut([32]byte) error { return nil }

// capturedEvents are those of real clusters that make records.
func capturedEvents(t *testing.T) []captured {
	t.Helper()
	paths, err := filepath.Glob("testdata/captured/*.json")
	if err != nil || len(paths) != 10 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	m, err := mapping.New(mapping.Config{Installation: receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"}})
	if err != nil {
		t.Fatal(err)
	}
	all := &collected{t: t, mapper: m}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var s auditevent.Splitter
		if err := s.Split("a/b", bytes.NewReader(raw), all); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if len(all.list) < 200 {
		t.Fatalf("only %d events make records", len(all.list))
	}
	return all.list
}

// claims say what each sample selects, in words of audit events alone.
var claims = map[string]func(e *captured) bool{
	"write-only":     func(e *captured) bool { return e.writes() && !e.data() },
	"secrets-access": func(e *captured) bool { return e.is("secrets/") },
	"rbac-changes": func(e *captured) bool {
		return e.writes() && (e.group() == "rbac.authorization.k8s.io" || e.group() == "certificates.k8s.io" ||
			e.is("serviceaccounts/", "serviceaccounts/token") && !e.machine())
	},
	"exec-and-attach": func(e *captured) bool {
		return e.is("pods/exec", "pods/attach", "pods/portforward", "nodes/proxy") || e.is("pods/ephemeralcontainers") && e.writes()
	},
	"everything-but-noise": func(e *captured) bool {
		endpoints := e.is("endpoints/", "endpointslices/") && e.writes()
		status := e.is("nodes/status", "pods/status") && e.writes()
		switch {
		case e.data():
			return false
		case e.is("leases/", "events/"):
			return !e.writes() && e.is("events/") && e.group() == "" || strings.HasPrefix(e.Verb, "delete") && !e.machine() && !e.controller()
		case endpoints || status:
			return !e.machine() && !e.controller()
		}
		return true
	},
	"security-relevant": func(e *captured) bool {
		groups := []string{
			"rbac.authorization.k8s.io", "certificates.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io",
			"apiregistration.k8s.io", "networking.k8s.io", "trail-operator.io",
		}
		status := e.ObjectRef != nil && e.ObjectRef.Subresource == "status"
		return e.writes() && !status && (slices.Contains(groups, e.group()) ||
			!e.machine() && !e.data() && e.is("serviceaccounts/", "serviceaccounts/token", "namespaces/", "namespaces/finalize", "nodes/")) ||
			e.is("secrets/") && !e.machine() ||
			e.is("pods/exec", "pods/attach", "pods/portforward", "nodes/proxy") || e.is("pods/ephemeralcontainers") && e.writes() ||
			e.User.Username == "system:anonymous" && !e.data()
	},
}

// TestSamplesOnCapturedEvents: on what real API servers sent, each sample selects
// what it claims, and nothing else.
func TestSamplesOnCapturedEvents(t *testing.T) {
	events := capturedEvents(t)
	for name, claimed := range claims {
		t.Run(name, func(t *testing.T) {
			s, err := selector.Compile(sample(t, name).Spec.EventSelection, "")
			if err != nil {
				t.Fatal(err)
			}
			selected := 0
			for i := range events {
				e := &events[i]
				got, want := s.Match(&e.facts), claimed(e)
				if got != want {
					t.Errorf("%s: selected %v, want %v (%+v)", e, got, want, e.facts)
				}
				if got {
					selected++
				}
			}
			if selected == 0 || selected == len(events) {
				t.Errorf("it selects %d of %d events", selected, len(events))
			}
			t.Logf("%d of %d", selected, len(events))
		})
	}
}

// TestBrokenSamplesAreNoticed: with any rule of a sample taken away or turned
// round, other events are selected than before. So the tests of the samples
// depend on each rule.
func TestBrokenSamplesAreNoticed(t *testing.T) {
	events := capturedEvents(t)
	var facts []record.Facts
	for i := range events {
		facts = append(facts, events[i].facts)
	}
	for _, f := range goldenFacts(t) {
		facts = append(facts, f)
	}
	selected := func(s v1alpha1.EventSelection) (bits []bool) {
		compiled, err := selector.Compile(s, "")
		if err != nil {
			return nil // it does not even compile
		}
		for i := range facts {
			bits = append(bits, compiled.Match(&facts[i]))
		}
		return bits
	}
	for name := range claims {
		whole := sample(t, name).Spec.EventSelection
		want := selected(whole)
		mutants := 0
		check := func(what string, change func(*v1alpha1.EventSelection)) {
			m := whole.DeepCopy()
			change(m)
			mutants++
			if slices.Equal(selected(*m), want) {
				t.Errorf("%s selects the same %s", name, what)
			}
		}
		for i, a := range whole.Advanced {
			check(fmt.Sprintf("without %q", a.Name), func(s *v1alpha1.EventSelection) { s.Advanced = slices.Delete(s.Advanced, i, i+1) })
			for j, f := range a.FieldSelectors {
				if f.Field == v1alpha1.FieldEventCategory {
					continue // required
				}
				where := fmt.Sprintf("in %q, with %s", a.Name, f.Field)
				check(where+" left out", func(s *v1alpha1.EventSelection) {
					s.Advanced[i].FieldSelectors = slices.Delete(s.Advanced[i].FieldSelectors, j, j+1)
				})
				check(where+" turned round", func(s *v1alpha1.EventSelection) {
					f := &s.Advanced[i].FieldSelectors[j]
					f.Equals, f.NotEquals = f.NotEquals, f.Equals
					f.StartsWith, f.NotStartsWith = f.NotStartsWith, f.StartsWith
					f.EndsWith, f.NotEndsWith = f.NotEndsWith, f.EndsWith
				})
			}
		}
		for i := range whole.Basic {
			for _, other := range []v1alpha1.ReadWriteType{v1alpha1.ReadOnly, v1alpha1.ReadWriteAll} {
				check("with "+string(other), func(s *v1alpha1.EventSelection) { s.Basic[i].ReadWriteType = other })
			}
		}
		if mutants == 0 {
			t.Errorf("%s was not changed", name)
		}
	}
}
