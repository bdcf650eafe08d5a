package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func TestQuarantineIsBounded(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	post := func(n int) {
		t.Helper()
		r.clock.SetTime(r.clock.Now().Add(time.Second))
		var items []string
		for i := range 90 {
			items = append(items, fmt.Sprintf(`"%d-%d"`, n, i))
		}
		r.send(list(items...), 200)
	}
	for n := range 15 {
		post(n)
	}
	got := s.content(t)
	if len(got.Docs) != maxQuarantined || len(got.Own) != 15*90 {
		t.Fatalf("%d documents, %d events", len(got.Docs), len(got.Own))
	}
	if n := testutil.ToFloat64(r.handler.metrics.dropped); n != 350 {
		t.Errorf("%v dropped", n)
	}
	if newest := got.Docs[len(got.Docs)-1].Time; !newest.Equal(r.clock.Now()) {
		t.Errorf("the newest document is of %v", newest)
	}

	// An append that fails changes nothing.
	s.fail(errors.New("no"))
	r.send(list("1", "2"), 503)
	s.fail(nil)
	if diff := cmp.Diff(got, s.content(t)); diff != "" {
		t.Fatal(diff)
	}
	post(20)
	if n := len(s.content(t).Docs); n != maxQuarantined {
		t.Errorf("%d documents after a failure", n)
	}

	// Neither does a restart.
	again := run(t, s)
	r = again
	r.clock.SetTime(r.clock.Now().Add(time.Hour))
	post(21)
	if n := len(s.content(t).Docs); n != maxQuarantined {
		t.Errorf("%d documents after a restart", n)
	}
}

func TestManyBadItemsOfOneBody(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	n := 300000
	r.send(list(strings.Repeat("1,", n-1)+"1"), 200)
	got := s.content(t)
	if got.Quarantined != n || len(got.Docs) != maxBadItems || len(got.Own) != maxBadItems+1 {
		t.Fatalf("%d quarantined, %d documents, %d events", got.Quarantined, len(got.Docs), len(got.Own))
	}
	var d details
	if err := json.Unmarshal(got.Own[maxBadItems].Details, &d); err != nil {
		t.Fatal(err)
	}
	if d.Items != n-maxBadItems || d.Length != int64(n-maxBadItems) {
		t.Errorf("%+v", d)
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		`{"auditID": "abc", "stage":"Panic","x":{"password":12.5,"name":["a",true]}}`: `{"auditID":"*","stage":"*","*":{"*":?,"name":["*",?]}}`,
		`hunter2`:                     `?`,
		`"hunter2`:                    `"*`,
		`{"name":"a\"hunter2","b`:     `{"name":"*","*`,
		`{"name":"a"hunter2"name":1}`: `{"name":"*"?"name":?}`,
		`name:hunter2`:                `?:?`,
		`"user" : "name"`:             `"user":"*"`,
		"\"a\\":                       `"*`,
		"":                            "",
	} {
		if got := mask([]byte(in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if got := mask([]byte(strings.Repeat(`{"requestReceivedTimestamp":1},`, 10000))); len(got) > maxMasked+40 {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzMask(f *testing.F) {
	f.Add(list(event("a")))
	f.Add(`{"a":"\"}`)
	names := make([]string, 0, len(shownKeys))
	for k := range shownKeys {
		names = append(names, k)
	}
	allowed := regexp.MustCompile(`^([][{}:,?]|"\*"?|"(` + strings.Join(names, "|") + `)")*$`)
	f.Fuzz(func(t *testing.T, in string) {
		if got := mask([]byte(in)); !allowed.MatchString(got) {
			t.Fatalf("%q gives %q", in, got)
		}
	})
}

// prepare alone, for what no client can bring about.
func TestQuarantineKeepsOrderAfterFailure(t *testing.T) {
	q := quarantine{known: map[string]bool{}, dropped: func(int) {}}
	bad := &badItems{items: []badItem{{reason: "r"}}, count: 1}
	at := time.UnixMilli(0)
	for i := range maxQuarantined {
		_, ops, done := q.prepare(spool.ID{byte(i), byte(i >> 8)}, "s", at.Add(time.Duration(i)*time.Millisecond), bad)
		if len(ops) != 1 {
			t.Fatalf("%d operations", len(ops))
		}
		done(nil)
	}
	before := append([]string(nil), q.keys...)
	_, ops, done := q.prepare(spool.ID{1: 0xff}, "s", at.Add(time.Hour), bad)
	if len(ops) != 2 || ops[1].Key != before[0] || ops[1].Value != nil {
		t.Fatalf("%+v", ops)
	}
	done(errors.New("no"))
	if diff := cmp.Diff(before, q.keys); diff != "" || len(q.known) != maxQuarantined {
		t.Fatal(diff)
	}
}
