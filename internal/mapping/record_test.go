package mapping

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

func decode(t testing.TB, b []byte) record.Record {
	t.Helper()
	var r record.Record
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, stage, code, message string
		status                     map[string]any
	}{
		{"success", "", "", "", map[string]any{"code": 201}},
		{"success with a message", "", "", "", map[string]any{"code": 200, "message": "Connection closed early"}},
		{"redirect", "", "", "", map[string]any{"code": 302}},
		{"switching protocols", "", "", "", map[string]any{"code": 101}},
		{"no status", "", "", "", nil},
		{"forbidden", "", "AccessDenied", "no", map[string]any{"code": 403, "reason": "Forbidden", "message": "no"}},
		{"unauthorized", "", "UnauthorizedOperation", "Unauthorized", map[string]any{"code": 401, "reason": "Unauthorized", "message": "Unauthorized"}},
		{"conflict", "", "AlreadyExists", "there", map[string]any{"code": 409, "reason": "AlreadyExists", "message": "there"}},
		{"no reason", "", "NotFound", "", map[string]any{"code": 404}},
		{"no reason and no name", "", "HTTP418", "", map[string]any{"code": 418}},
		{"panic", "Panic", "InternalError", "", nil},
		{"failure without code", "", "Expired", "old", map[string]any{"status": "Failure", "reason": "Expired", "message": "old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts := map[string]any{"responseStatus": c.status}
			if c.stage != "" {
				parts["stage"] = c.stage
			}
			b, _ := mapped(t, event(t, parts))
			r := decode(t, b)
			if r.ErrorCode != c.code || r.ErrorMessage != c.message {
				t.Errorf("got %q, %q; want %q, %q", r.ErrorCode, r.ErrorMessage, c.code, c.message)
			}
		})
	}
}

func TestSourceIP(t *testing.T) {
	for _, c := range []struct {
		ips  []string
		want string
	}{
		{[]string{"192.0.2.1"}, "192.0.2.1"},
		{[]string{"127.0.0.1"}, "127.0.0.1"},
		{[]string{"192.0.2.66", "192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.66", "198.51.100.7", "10.1.2.3", "127.0.0.1"}, "198.51.100.7"},
		{[]string{"198.51.100.7", "::ffff:10.1.2.3"}, "198.51.100.7"},
		{[]string{"10.0.0.1", "10.0.0.2"}, "10.0.0.1"},
		{[]string{"192.0.2.66", "forged", "10.0.0.2"}, "forged"},
		{[]string{"2001:db8::1", "10.0.0.2"}, "2001:db8::1"},
		{nil, "unknown"},
	} {
		b, _ := mapped(t, event(t, map[string]any{"sourceIPs": c.ips}))
		if got := decode(t, b).SourceIPAddress; got != c.want {
			t.Errorf("%v: %s, want %s", c.ips, got, c.want)
		}
	}
	m, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.sourceIP([]string{"198.51.100.7", "127.0.0.1"}); got != "127.0.0.1" {
		t.Errorf("without trusted proxies: %s", got)
	}
	if _, err := New(Config{TrustedProxies: []string{"10.0.0.1"}}); err == nil || !strings.Contains(err.Error(), "10.0.0.1") {
		t.Errorf("a proxy that is no CIDR: %v", err)
	}
}

func TestResources(t *testing.T) {
	const prefix = "arn:k8s:core:eu-central-1:123456789012:"
	object := func(name string) map[string]any {
		return map[string]any{"kind": "Pod", "metadata": map[string]any{"name": name}}
	}
	for _, c := range []struct {
		name, verb string
		ref        map[string]any
		response   any
		code       int
		arn, facts string
	}{
		{"object", "get", map[string]any{"resource": "pods", "namespace": "a", "name": "x"}, nil, 200, prefix + "a/pods/x", "a"},
		{"subresource", "create", map[string]any{"resource": "pods", "subresource": "exec", "namespace": "a", "name": "x"}, nil, 101, prefix + "a/pods/x", "a"},
		{"collection", "list", map[string]any{"resource": "pods", "namespace": "a"}, nil, 200, prefix + "a/pods/*", "a"},
		{"all namespaces", "list", map[string]any{"resource": "pods"}, nil, 200, prefix + "/pods/*", ""},
		{"generated name", "create", map[string]any{"resource": "pods", "namespace": "a"}, object("x-1"), 201, prefix + "a/pods/x-1", "a"},
		{"unknown name", "create", map[string]any{"resource": "pods", "namespace": "a"}, nil, 201, prefix + "a/pods/*", "a"},
		{"failed create", "create", map[string]any{"resource": "pods", "namespace": "a"}, object("forged"), 422, prefix + "a/pods/*", "a"},
		{"answer of a subresource", "create", map[string]any{"resource": "pods", "namespace": "a", "subresource": "x"}, object("forged"), 201, prefix + "a/pods/*", "a"},
		{"deletecollection", "deletecollection", map[string]any{"resource": "pods", "namespace": "a"}, object("forged"), 200, prefix + "a/pods/*", "a"},
		{"namespace", "get", map[string]any{"resource": "namespaces", "namespace": "a", "name": "a"}, nil, 200, prefix + "/namespaces/a", "a"},
		{"new namespace", "create", map[string]any{"resource": "namespaces", "name": "a"}, nil, 201, prefix + "/namespaces/a", ""},
		{
			"group", "get",
			map[string]any{"resource": "roles", "apiGroup": "rbac.authorization.k8s.io", "namespace": "a", "name": "r"},
			nil, 200,
			"arn:k8s:rbac.authorization.k8s.io:eu-central-1:123456789012:a/roles/r", "a",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, f := mapped(t, event(t, map[string]any{
				"verb": c.verb, "objectRef": c.ref, "responseObject": c.response, "responseStatus": map[string]any{"code": c.code},
			}))
			if len(f.Resources) != 1 || f.Resources[0].ARN != c.arn || f.Namespace != c.facts {
				t.Errorf("got %v in namespace %q", f.Resources, f.Namespace)
			}
		})
	}
}

func TestQuery(t *testing.T) {
	for _, c := range []struct{ resource, subresource, query, want string }{
		{"pods", "", "limit=500&fieldSelector=a%3Db", `{"limit":"500","fieldSelector":"a=b"}`},
		{"pods", "exec", "command=sh&command=-c&command=echo+a%26b&stdin=true", `{"command":["sh","-c","echo a&b"],"stdin":"true"}`},
		{"pods", "exec", "command=id", `{"command":["id"]}`},
		{"pods", "exec", "command=" + canaryJWT, `{"command":["` + canaryJWT + `"]}`},
		{"pods", "attach", "command=id", `{"command":"id"}`},
		{"services", "proxy", "a=1&b=2&a=3&a=", `{"a":["1","3",""],"b":"2"}`},
		{"services", "proxy", "token=x&TOKEN=y&token=z", `{"token":["<sensitiveDataRemoved>","<sensitiveDataRemoved>"],"TOKEN":"<sensitiveDataRemoved>"}`},
		{"services", "proxy", "flag&&=v&%zz=%4&%41=%e2%82%ac", `{"flag":"","":"v","%zz":"%4","A":"€"}`},
		{"services", "proxy", "a=" + strings.Repeat("x", maxQuery), `{"omitted":true,"omittedReason":"SizeLimit","omittedBytes":32770}`},
		{"services", "proxy", "a=" + strings.Repeat("%01", maxQuery/4), `{"omitted":true,"omittedReason":"SizeLimit","omittedBytes":24578}`},
		{"services", "proxy", strings.Repeat("a&", maxOptions), `{"omitted":true,"omittedReason":"SizeLimit","omittedBytes":512}`},
	} {
		b, _ := mapped(t, event(t, map[string]any{"objectRef": ref("", c.resource, c.subresource), "requestURI": "/x?" + c.query}))
		var p struct{ Query json.RawMessage }
		if err := json.Unmarshal(decode(t, b).RequestParameters, &p); err != nil {
			t.Fatal(err)
		}
		if string(p.Query) != c.want {
			t.Errorf("%.60s:\ngot  %s\nwant %s", c.query, p.Query, c.want)
		}
	}
}

// TestOmissions: what is too large is left out, and it shows.
func TestOmissions(t *testing.T) {
	// The parser decodes bodies up to the limit: what grows beyond it here does so
	// by redaction, or together with other parameters.
	values := map[string]any{}
	for i := range 5000 {
		values[strconv.Itoa(10000+i)] = ""
	}
	large := map[string]any{"kind": "Secret", "data": values}
	const largeBytes = len(`{"data":{},"kind":"Secret"}`) + 5000*len(`"10000":`+redactedJSON+`,`) - 1
	almost := map[string]any{"data": map[string]any{"x": strings.Repeat("x", maxBody-500)}}
	annotations := map[string]any{"x": strings.Repeat("x", maxAdditional)}
	type omission struct {
		Omitted       bool
		OmittedReason string
		OmittedBytes  int
	}
	for _, c := range []struct {
		name                 string
		parts                map[string]any
		request, response    omission
		annotations, dropped omission // dropped: of the groups
	}{
		{name: "small", parts: map[string]any{"requestObject": almost, "responseObject": almost}},
		{name: "request", parts: map[string]any{"requestObject": large}, request: omission{true, "SizeLimit", largeBytes}},
		{name: "response", parts: map[string]any{"responseObject": large}, response: omission{true, "SizeLimit", largeBytes}},
		{name: "list as response", parts: map[string]any{"responseObject": []any{large}}, response: omission{true, "SizeLimit", largeBytes + len(`{"value":[]}`)}},
		{name: "annotations", parts: map[string]any{"annotations": annotations}, annotations: omission{true, "SizeLimit", maxAdditional + 8}},
		{name: "the longest go first", parts: map[string]any{
			"annotations": map[string]any{"x": strings.Repeat("x", 20<<10)},
			"user":        map[string]any{"username": "jane", "groups": []string{strings.Repeat("g", 40<<10)}},
		}, dropped: omission{true, "SizeLimit", 40<<10 + 4}},
		{
			name: "truncated by the API server", parts: map[string]any{"annotations": map[string]any{"audit.k8s.io/truncated": "true"}},
			request: omission{true, "TruncatedByAPIServer", 0}, response: omission{true, "TruncatedByAPIServer", 0},
		},
		{
			name: "truncated at level Request", parts: map[string]any{"level": "Request", "annotations": map[string]any{"audit.k8s.io/truncated": "true"}},
			request: omission{true, "TruncatedByAPIServer", 0},
		},
		{name: "truncated list", parts: map[string]any{"verb": "list", "annotations": map[string]any{"audit.k8s.io/truncated": "true"}}},
		{name: "reduced at intake", parts: map[string]any{"trailOmitted": []string{"responseObject"}}, response: omission{true, "SizeLimit", 0}},
		{name: "fields left out by the parser", parts: map[string]any{
			"requestObject": map[string]any{"x": strings.Repeat("x", 101<<10)},
			"annotations":   map[string]any{"x": strings.Repeat("x", 101<<10)},
		}, request: omission{true, "SizeLimit", 0}},
		{
			name: "unreadable", parts: map[string]any{"requestObject": "kind: Secret", "responseObject": 7},
			request: omission{true, "NotReadableByRedactor", 14}, response: omission{true, "NotReadableByRedactor", 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.parts["objectRef"] = ref("", "configmaps", "")
			b, _ := mapped(t, event(t, c.parts))
			r := decode(t, b)
			var request, response omission
			var additional struct{ Annotations, Groups json.RawMessage }
			for _, u := range []struct {
				in  json.RawMessage
				out any
			}{{r.RequestParameters, &request}, {r.ResponseElements, &response}, {r.AdditionalEventData, &additional}} {
				if err := json.Unmarshal(u.in, u.out); err != nil {
					t.Fatal(err)
				}
			}
			var annotations, groups omission
			_ = json.Unmarshal(additional.Annotations, &annotations) // absent, or an object
			_ = json.Unmarshal(additional.Groups, &groups)           // absent, a list, or an object
			if diff := cmp.Diff([]omission{c.request, c.response, c.annotations, c.dropped}, []omission{request, response, annotations, groups}); diff != "" {
				t.Errorf("request, response, annotations, groups (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRecordIsBounded: the worst event that there is keeps the bound of a record.
func TestRecordIsBounded(t *testing.T) {
	worst := strings.Repeat("\x01", 1<<16)
	list := []string{worst, worst}
	user := map[string]any{
		"username": robot + worst, "uid": worst, "groups": list,
		"extra": map[string]any{extraCredentialID: list, extraPodName: list, worst: list},
	}
	body := map[string]any{"x": strings.Repeat("x", maxBody-1<<10)}
	parts := map[string]any{
		"level": worst, "auditID": worst, "requestURI": "/" + worst + "?" + worst[:maxQuery/6-10], "verb": worst, "userAgent": worst,
		"user": user, "impersonatedUser": user, "sourceIPs": list, "requestObject": body, "responseObject": body,
		"objectRef":      map[string]any{"apiGroup": worst, "apiVersion": worst, "resource": worst, "subresource": "proxy", "namespace": worst, "name": worst, "uid": worst},
		"responseStatus": map[string]any{"code": 500, "reason": worst, "message": worst},
		"annotations":    map[string]any{worst: worst}, "authenticationMetadata": map[string]any{worst: worst},
	}
	b, _ := mapped(t, event(t, parts)) // checks the bound
	if got := string(decode(t, b).ResponseElements); !strings.HasPrefix(got, `{"omitted":true,"omittedReason":"SizeLimit","omittedBytes":10`) {
		t.Errorf("responseElements are %.100s", got)
	}
	// Without an error the message stands in additionalEventData.
	parts["responseStatus"] = map[string]any{"code": 200, "message": worst}
	names := make([]string, 100)
	for i := range names {
		names[i] = worst
	}
	parts["trailOmitted"] = names
	mapped(t, event(t, parts))

	full := map[string]any{"x": strings.Repeat("x", maxBody-1<<10)}
	quotes := strings.Repeat(`"`, maxText)
	b, _ = mapped(t, event(t, map[string]any{
		"objectRef": ref("", "pods", ""), "requestObject": full, "responseObject": full, "userAgent": quotes,
		"annotations": map[string]any{"x": strings.Repeat("y", maxAdditional-1<<10)},
	}))
	if bytes.Contains(b, []byte(`"omitted":true`)) || len(b) < 2*maxBody {
		t.Errorf("a record of %d bytes was cut", len(b))
	}
}

// TestEventID: the eventID is the UUIDv5 of the event key, and nothing else.
func TestEventID(t *testing.T) {
	var p auditevent.Parser
	e, err := p.Parse(event(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	var f record.Facts
	key := e.Key(testSource.Cluster)
	namespace := uuid.NewSHA1(uuid.NameSpaceDNS, []byte("events.trail-operator.io"))
	want := uuid.NewSHA1(namespace, key[:]).String()
	m := newMapper(t)
	if got := decode(t, m.Append(nil, e, testSource, &f)).EventID; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e.Annotations, e.ResponseObject = auditevent.JSON{}, auditevent.JSON{}
	if got := decode(t, m.Append(nil, e, testSource, &f)).EventID; got != want {
		t.Errorf("without annotations: %s, want %s", got, want)
	}
}

func TestEventTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-21T03:39:02.999999Z":  "2026-11-21T03:39:02Z",
		"2026-11-21T03:39:02+01:00":    "2026-11-21T02:39:02Z",
		"1970-01-01T00:00:00Z":         "1970-01-01T00:00:00Z",
		"9999-12-31T23:59:59.9999999Z": "9999-12-31T23:59:59Z",
	} {
		b, f := mapped(t, event(t, map[string]any{"stageTimestamp": in}))
		r := decode(t, b)
		if r.EventTime != want {
			t.Errorf("%s gives %s, want %s", in, r.EventTime, want)
		}
		var additional struct{ StageTimestamp string }
		if err := json.Unmarshal(r.AdditionalEventData, &additional); err != nil || additional.StageTimestamp != in {
			t.Errorf("%s: stageTimestamp %q, %v", in, additional.StageTimestamp, err)
		}
		if newMapper(t); f.EventTime%60 != 59 && f.EventTime%60 != 2 && f.EventTime != 0 {
			t.Errorf("%s: facts have %d", in, f.EventTime)
		}
	}
}

func TestLatency(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"2026-11-21T03:39:02.606718Z", "2026-11-21T03:39:02.607384Z", "0.666"},
		{"2026-11-21T03:39:02.000000Z", "2026-11-21T03:39:02.000000Z", "0"},
		{"2026-11-21T03:39:02.000000Z", "2026-11-21T03:39:59.000000Z", "57000"},
		{"2026-11-21T03:39:59.999999Z", "2026-11-21T03:40:00.000000Z", "0.001"},
		{"2026-11-21T03:39:02Z", "2026-11-21T03:39:02.05Z", "50"},
		{"2026-11-21T04:39:02.000001+01:00", "2026-11-21T03:39:02.000002Z", "0.001"},
		{"2026-11-21T03:39:03.000000Z", "2026-11-21T03:39:02.000000Z", ""},
		{"2026-11-21T03:39:0x.000000Z", "2026-11-21T03:39:02.000000Z", ""},
		{"", "2026-11-21T03:39:02.000000Z", ""},
	} {
		b, _ := mapped(t, event(t, map[string]any{"requestReceivedTimestamp": c.from, "stageTimestamp": c.to}))
		var additional struct{ LatencyMilliseconds json.RawMessage }
		if err := json.Unmarshal(decode(t, b).AdditionalEventData, &additional); err != nil {
			t.Fatal(err)
		}
		if got := string(additional.LatencyMilliseconds); got != c.want {
			t.Errorf("from %s to %s: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// TestReuse: a mapper's buffers carry nothing from one event to the next.
func TestReuse(t *testing.T) {
	m := newMapper(t)
	var p auditevent.Parser
	var f record.Facts
	f.Trails = []string{"stale"}
	var dst []byte
	for _, in := range []map[string]any{
		{"user": map[string]any{"username": robot, "extra": map[string]any{extraPodName: []string{"p"}}}, "objectRef": ref("", "pods", "exec"), "requestURI": "/x?command=a&command=%62"},
		{},
		{"objectRef": ref("example.com", "widgets", ""), "requestURI": "/y?c=%63"},
	} {
		b := event(t, in)
		e, err := p.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		start := len(dst)
		dst = m.Append(dst, e, testSource, &f)
		checkRecord(t, dst[start:], &f)
		want, wantFacts := mapped(t, b)
		if diff := cmp.Diff(string(want), string(dst[start:])); diff != "" {
			t.Errorf("-alone +reused:\n%s", diff)
		}
		if f.Resources == nil {
			wantFacts.Resources = nil
		} else if wantFacts.Resources == nil {
			wantFacts.Resources = []record.FactResource{}
		}
		if diff := cmp.Diff(wantFacts, f); diff != "" {
			t.Errorf("facts (-alone +reused):\n%s", diff)
		}
	}
}

func TestNewRefusesNothingElse(t *testing.T) {
	m, err := New(Config{Kinds: receiverconfig.Kinds{List: []receiverconfig.Kind{{Resource: "odd", Kind: "O\"d{d}"}, {Resource: "none", Kind: "--"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.kind(groupResource{"", "odd"}); got != "Odd" {
		t.Errorf("kind %q", got)
	}
	if got := m.kind(groupResource{"", "none"}); got != "None" {
		t.Errorf("kind %q", got)
	}
}

// TestAllocations: mapping an event of a known kind takes no memory.
func TestAllocations(t *testing.T) {
	for _, name := range []string{"pod-create-by-controller", "secret-json-patch", "pod-exec", "impersonated-serviceaccount", "deployment-mutated-by-webhook"} {
		in, err := os.ReadFile("testdata/events/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var p auditevent.Parser
		e, err := p.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		m := newMapper(t)
		var f record.Facts
		dst := m.Append(nil, e, testSource, &f)
		if n := testing.AllocsPerRun(100, func() { dst = m.Append(dst[:0], e, testSource, &f) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestReplayedIsMarked(t *testing.T) {
	e, err := new(auditevent.Parser).Parse([]byte(`{"auditID":"a","stage":"ResponseComplete","stageTimestamp":"2026-11-21T03:39:02.498580Z","verb":"get"}`))
	if err != nil {
		t.Fatal(err)
	}
	m := newMapper(t)
	source := testSource
	plain := string(m.Append(nil, e, source, &record.Facts{}))
	source.Replayed = true
	marked := string(m.Append(nil, e, source, &record.Facts{}))
	if strings.Replace(marked, `,"replayed":true`, "", 1) != plain || plain == marked {
		t.Errorf("%s\n%s", plain, marked)
	}
}
