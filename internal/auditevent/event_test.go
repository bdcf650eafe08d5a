package auditevent

import (
	"testing"
)

func TestMakesRecord(t *testing.T) {
	get := `"verb":"get","objectRef":{"resource":"pods"}`
	for name, c := range map[string]struct {
		stage, members string
		want           bool
	}{
		"received":                {StageRequestReceived, get, false},
		"received watch":          {StageRequestReceived, `"verb":"watch"`, false},
		"complete":                {StageResponseComplete, get, true},
		"complete non-resource":   {StageResponseComplete, `"verb":"get","requestURI":"/healthz"`, true},
		"panic":                   {StagePanic, get, true},
		"panic of a watch":        {StagePanic, `"verb":"watch"`, true},
		"watch":                   {StageResponseStarted, `"verb":"watch"`, true},
		"end of a watch":          {StageResponseComplete, `"verb":"watch","objectRef":{"resource":"pods"}`, false},
		"exec":                    {StageResponseStarted, `"verb":"get","objectRef":{"resource":"pods","subresource":"exec"}`, true},
		"end of exec":             {StageResponseComplete, `"verb":"get","objectRef":{"resource":"pods","subresource":"exec"}`, false},
		"end of attach":           {StageResponseComplete, `"verb":"create","objectRef":{"resource":"pods","subresource":"attach"}`, false},
		"end of log":              {StageResponseComplete, `"verb":"get","objectRef":{"resource":"pods","subresource":"log"}`, false},
		"end of port-forward":     {StageResponseComplete, `"verb":"get","objectRef":{"resource":"pods","subresource":"portforward"}`, false},
		"end of proxy":            {StageResponseComplete, `"verb":"create","objectRef":{"resource":"nodes","subresource":"proxy"}`, false},
		"end of status":           {StageResponseComplete, `"verb":"get","objectRef":{"resource":"pods","subresource":"status"}`, true},
		"end of profiling":        {StageResponseComplete, `"verb":"get","requestURI":"/debug/pprof/trace"`, false},
		"failed authentication":   {StageResponseStarted, `"verb":"list","user":{},"responseStatus":{"code":401}`, true},
		"request with a bad time": {StageResponseStarted, `"verb":"list","responseStatus":{"code":400}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			e, err := p.Parse([]byte(`{"auditID":"a","stage":"` + c.stage + `","stageTimestamp":"2026-11-21T03:39:02.498580Z",` + c.members + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := e.MakesRecord(); got != c.want {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

// In what real API servers sent, each call makes exactly one record.
func TestOneRecordPerCall(t *testing.T) {
	var p Parser
	records, ended := map[string]int{}, map[string]bool{}
	for _, items := range recorded(t) {
		for _, item := range items {
			e, err := p.Parse(item)
			if err != nil {
				t.Fatal(err)
			}
			if e.MakesRecord() {
				records[string([]byte(e.AuditID))]++
			} else {
				records[string([]byte(e.AuditID))] += 0
			}
			if e.Stage == StageResponseComplete || e.Stage == StageResponseStarted {
				ended[string([]byte(e.AuditID))] = true
			}
		}
	}
	for id, n := range records {
		if ended[id] && n != 1 {
			t.Errorf("call %s makes %d records", id, n)
		}
	}
}

func TestKeyTellsEventsApart(t *testing.T) {
	base := `"auditID":"a","stage":"Panic","stageTimestamp":"2026-11-21T03:39:02.498580Z",`
	keys := map[[32]byte]string{}
	var p Parser
	add := func(cluster, item string) {
		t.Helper()
		e, err := p.Parse([]byte(item))
		if err != nil {
			t.Fatal(err)
		}
		k := e.Key(cluster)
		if other, ok := keys[k]; ok {
			t.Errorf("%s has the key of %s", item, other)
		}
		keys[k] = item
	}
	add("c", `{`+base+`"verb":"get"}`)
	add("d", `{`+base+`"verb":"get"}`)
	for _, members := range []string{
		`"verb":"list"`, `"requestURI":"get"`, `"user":{"username":"get"}`, `"user":{"uid":"get"}`,
		`"user":{"groups":["get"]}`, `"user":{"groups":["g","et"]}`, `"user":{"groups":["ge","t"]}`, `"user":{"extra":{"get":[]}}`,
		`"impersonatedUser":{}`, `"impersonatedUser":{"username":"get"}`, `"sourceIPs":["get"]`, `"sourceIPs":["g","et"]`,
		`"responseStatus":{"code":200}`, `"responseStatus":{"code":-200}`, `"requestReceivedTimestamp":"2026-11-21T03:39:02.498580Z"`,
	} {
		add("c", `{`+base+members+`}`)
	}
	add("c", `{"auditID":"b","stage":"Panic","stageTimestamp":"2026-11-21T03:39:02.498580Z","verb":"get"}`)
	add("c", `{"auditID":"a","stage":"ResponseStarted","stageTimestamp":"2026-11-21T03:39:02.498580Z","verb":"get"}`)
	add("c", `{"auditID":"a","stage":"Panic","stageTimestamp":"2026-11-21T03:39:02.498581Z","verb":"get"}`)

	// Bodies, annotations and the order of members do not count.
	e, err := p.Parse([]byte(`{"annotations":{"a":"b"},"requestObject":{},"verb":"get",` + base + `"level":"Request","userAgent":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := keys[e.Key("c")]; !ok {
		t.Error("the same call has another key")
	}
}
