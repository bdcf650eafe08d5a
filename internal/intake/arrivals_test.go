package intake

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		verb, group, resource, subresource string
		want                               receiverstatus.Class
	}{
		{"get", "", "pods", "", receiverstatus.ClassRead},
		{"watch", "apps", "deployments", "", receiverstatus.ClassRead},
		{"list", "", "pods", "status", receiverstatus.ClassRead},
		{"create", "", "pods", "", receiverstatus.ClassWrite},
		{"deletecollection", "", "pods", "", receiverstatus.ClassWrite},
		{"patch", "", "pods", "status", receiverstatus.ClassWrite},
		{"get", "", "secrets", "", receiverstatus.ClassSecret},
		{"create", "", "secrets", "", receiverstatus.ClassSecret},
		{"get", "example.com", "secrets", "", receiverstatus.ClassRead},
		{"get", "", "pods", "exec", receiverstatus.ClassSession},
		{"create", "", "pods", "attach", receiverstatus.ClassSession},
		{"get", "", "pods", "log", receiverstatus.ClassSession},
		{"get", "", "nodes", "proxy", receiverstatus.ClassSession},
		{"create", "authorization.k8s.io", "subjectaccessreviews", "", receiverstatus.ClassOther},
		{"approve", "certificates.k8s.io", "signers", "", receiverstatus.ClassOther},
		{"get", "", "", "", receiverstatus.ClassOther},
	} {
		e := &auditevent.Event{Verb: c.verb, HasObjectRef: c.resource != "", ObjectRef: auditevent.ObjectRef{
			APIGroup: c.group, Resource: c.resource, Subresource: c.subresource,
		}}
		if got := receiverstatus.Classes[classOf(e)]; got != c.want {
			t.Errorf("%s %s/%s/%s is %s, want %s", c.verb, c.group, c.resource, c.subresource, got, c.want)
		}
	}
}

// call is an event of a user.
func call(auditID, user, verb, resource, level string) string {
	return event(auditID, `"level":"`+level+`"`, `"verb":"`+verb+`"`, `"user":{"username":"`+user+`"}`, `"objectRef":{"resource":"`+resource+`"}`)
}

// The status tells what an API server sends, and which of the manager's probes.
func TestArrivals(t *testing.T) {
	const manager = "system:serviceaccount:trail-operator-system:trail-operator-manager"
	r := run(t, newMemorySpool())
	r.handler.Configure(account, false, manager)
	probe := func(id string, c receiverstatus.Class, user, verb, resource string) string {
		return call(receiverstatus.ProbeAuditID(id, c), user, verb, resource, "Metadata")
	}
	first := r.clock.Now().UTC()
	r.send(list(
		call("1", "anna", "get", "pods", "Metadata"),
		call("2", "anna", "create", "pods", "RequestResponse"),
		strings.Replace(call("3", "anna", "create", "pods", "RequestResponse"), "ResponseComplete", "RequestReceived", 1),
		call("4", "anna", "list", "secrets", "Metadata"),
		probe("a", receiverstatus.ClassWrite, manager, "patch", "configmaps"),
		probe("a", receiverstatus.ClassRead, manager, "get", "configmaps"),
		probe("forged", receiverstatus.ClassWrite, "eve", "patch", "configmaps"),
	), 200)
	r.clock.SetTime(first.Add(time.Minute))
	r.send(list(probe("a", receiverstatus.ClassSecret, manager, "get", "secrets"), probe("b", receiverstatus.ClassWrite, manager, "patch", "configmaps")), 200)

	got := r.handler.Sources()
	if len(got) != 1 {
		t.Fatal(got)
	}
	second := first.Add(time.Minute)
	want := receiverstatus.Source{
		Cluster: account, APIServer: "cp-1", LastPost: second, Certificates: got[0].Certificates,
		Calls: map[receiverstatus.Class]receiverstatus.Calls{
			receiverstatus.ClassRead:   {Count: 2, Last: first},
			receiverstatus.ClassWrite:  {Count: 4, Bodies: 1, Last: second},
			receiverstatus.ClassSecret: {Count: 2, Last: second},
		},
		Stages: map[string]int64{"RequestReceived": 1, "ResponseComplete": 8},
		Probes: []receiverstatus.Probe{
			{ID: "a", First: first, Classes: []receiverstatus.Class{"write", "read", "secret"}},
			{ID: "b", First: second, Classes: []receiverstatus.Class{"write"}},
		},
		Probed: map[receiverstatus.Class]time.Time{"write": second, "read": first, "secret": second},
	}
	if d := cmp.Diff(want, got[0]); d != "" {
		t.Error(d)
	}
	for i := range 3 * receiverstatus.MaxProbes {
		r.send(list(probe(fmt.Sprint(i), receiverstatus.ClassWrite, manager, "patch", "configmaps")), 200)
	}
	probes := r.handler.Sources()[0].Probes
	if len(probes) != receiverstatus.MaxProbes || probes[len(probes)-1].ID != fmt.Sprint(3*receiverstatus.MaxProbes-1) {
		t.Errorf("%+v", probes)
	}
}

// What an API server sends is known after a restart: else it would seem never to
// have sent what it sent a minute before.
func TestArrivalsSurviveRestart(t *testing.T) {
	const manager = "system:serviceaccount:trail-operator-system:trail-operator-manager"
	s := newMemorySpool()
	start := func(at time.Time) *running {
		r := run(t, s, func(o *Options) { o.Clock.(*clocktesting.FakePassiveClock).SetTime(at) })
		r.handler.Configure(account, false, manager)
		return r
	}
	first := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r := start(first)
	r.send(list(
		call("1", "anna", "get", "pods", "Metadata"),
		call(receiverstatus.ProbeAuditID("a", receiverstatus.ClassWrite), manager, "patch", "configmaps", "Metadata"),
	), 200)
	r.clock.SetTime(first.Add(historyInterval / 2))
	r.send(list(call("2", "anna", "get", "secrets", "Metadata")), 200) // too soon to be written
	if n := s.documents(historyPrefix); n != 1 {
		t.Fatalf("%d documents", n)
	}

	second := first.Add(time.Hour)
	r = start(second)
	if got := r.handler.Sources(); len(got) != 0 {
		t.Errorf("before it has posted: %+v", got)
	}
	r.send(list(call("3", "anna", "create", "pods", "Metadata")), 200)
	got := r.handler.Sources()
	want := []receiverstatus.Source{{
		Cluster: account, APIServer: "cp-1", LastPost: second, Certificates: got[0].Certificates,
		Calls: map[receiverstatus.Class]receiverstatus.Calls{
			receiverstatus.ClassRead:  {Last: first},
			receiverstatus.ClassWrite: {Count: 1, Last: second},
		},
		Stages: map[string]int64{"ResponseComplete": 1},
		Probes: []receiverstatus.Probe{{ID: "a", First: first, Classes: []receiverstatus.Class{"write"}}},
		Probed: map[receiverstatus.Class]time.Time{"write": first},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	// What a wrong clock has written is not believed, nor what cannot be read.
	if err := s.Commit(spool.Set(historyPrefix+account+"/cp-2", []byte("{"))); err != nil {
		t.Fatal(err)
	}
	var known sources
	if err := known.load(s, first.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	of := known.seen[source{account, "cp-1"}]
	if of == nil || len(known.seen) != 1 || len(of.calls)+len(of.probes)+len(of.probed) != 0 || of.lastPost.After(first) {
		t.Errorf("%+v", of)
	}
}

// No more API servers are remembered than there is room for, on the volume either.
func TestHistoryIsBounded(t *testing.T) {
	s := newMemorySpool()
	var known sources
	if err := known.load(s, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxSources {
		if err := s.Commit(known.posted(source{account, fmt.Sprint(i)}, "", &arrivals{}, time.Unix(int64(i), 0))...); err != nil {
			t.Fatal(err)
		}
	}
	var again sources
	if err := again.load(s, time.Unix(9999, 0)); err != nil {
		t.Fatal(err)
	}
	if again.seen[source{account, fmt.Sprint(3*maxSources - 1)}] == nil || len(again.seen) != maxSources || s.documents(historyPrefix) != maxSources {
		t.Errorf("%d are known, %d documents", len(again.seen), s.documents(historyPrefix))
	}
}

// BenchmarkArrivals is what it costs an event to be counted.
func BenchmarkArrivals(b *testing.B) {
	e := &auditevent.Event{
		Level: "Metadata", Stage: auditevent.StageResponseComplete, Verb: "update", HasObjectRef: true, AuditID: "0e3e9d2a-7f6e-4c5b-9d35-2a1b3c4d5e6f",
		User: auditevent.User{Username: "system:node:worker-1"}, ObjectRef: auditevent.ObjectRef{Resource: "pods", Subresource: "status"},
	}
	var a arrivals
	b.ReportAllocs()
	for b.Loop() {
		a.add(e, true, "system:serviceaccount:trail-operator-system:trail-operator-manager")
	}
}
