package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
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
		`{"auditID": "abc", "stage":"Panic","x":{"password":12.5,"name":["a",true]}}`:                                              `{"auditID":"*","stage":"Panic","*":{"*":?,"name":["*",?]}}`,
		`{"kind":"Event","auditID":"8a1f2e8c-0000-4000-8000-0123456789ab","verb":"get","stageTimestamp":"2026-11-21T04:00:00.5Z"}`: `{"kind":"Event","auditID":"8a1f2e8c-0000-4000-8000-0123456789ab","verb":"get","stageTimestamp":"2026-11-21T04:00:00.5Z"}`,
		`{"verb":"hunter2","level":"get","requestObject":{"auditID":"8a1f2e8c-0000-4000-8000-0123456789ab"}}`:                      `{"verb":"*","level":"*","requestObject":{"auditID":"*"}}`,
		`{"verb":5,"get":"Panic","stage","Panic"}`:                                                                                 `{"verb":?,"*":"*","*","*"}`,
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
	values := `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|` +
		`None|Metadata|Request|RequestResponse|RequestReceived|ResponseStarted|ResponseComplete|Panic|Event|EventList|` +
		`get|list|watch|create|update|patch|delete|deletecollection|proxy|connect|head|post|put|options|audit\.k8s\.io/v[0-9]+((alpha|beta)[0-9]+)?`
	allowed := regexp.MustCompile(`^([][{}:,?]|"\*"?|"(` + strings.Join(names, "|") + "|" + values + `)")*$`)
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
	before, bytes := slices.Clone(q.kept), q.bytes
	_, ops, done := q.prepare(spool.ID{1: 0xff}, "s", at.Add(time.Hour), bad)
	if len(ops) != 3 || ops[1].Key != quarantinePrefix+before[0].key || ops[1].Value != nil || ops[2].Key != sealedPrefix+before[0].key {
		t.Fatalf("%+v", ops)
	}
	done(errors.New("no"))
	if diff := cmp.Diff(before, q.kept, cmp.AllowUnexported(keptItem{})); diff != "" || len(q.known) != maxQuarantined || q.bytes != bytes {
		t.Fatal(diff)
	}
}

// TestQuarantineIsBoundedByBytesAndAge: also when nothing new comes.
func TestQuarantineIsBoundedByBytesAndAge(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	large := strings.Repeat("x", 200<<10)
	for n := range 25 {
		r.clock.SetTime(r.clock.Now().Add(time.Second))
		var items []string
		for i := range 15 {
			items = append(items, fmt.Sprintf(`"%d %d %s"`, n, i, large))
		}
		r.send(list(items...), 200)
	}
	var kept receiverstatus.KeptStatus
	r.handler.CountQuarantined(&kept)
	var sum int64
	if err := s.Scan("quarantine", func(key string, value []byte) error {
		if key != vaultDocument {
			sum += int64(len(value))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if kept.ItemBytes > maxQuarantinedBytes || kept.ItemBytes < maxQuarantinedBytes*9/10 || kept.ItemBytes != sum || kept.Replayable != kept.Items {
		t.Errorf("%+v, %d bytes are stored", kept, sum)
	}
	dropped := testutil.ToFloat64(r.handler.metrics.dropped)
	if int(dropped)+kept.Items != 25*15 {
		t.Errorf("%v were dropped", dropped)
	}
	again := run(t, s) // a restart
	var after receiverstatus.KeptStatus
	again.handler.CountQuarantined(&after)
	if diff := cmp.Diff(kept, after); diff != "" {
		t.Error(diff)
	}
	again.clock.SetTime(r.clock.Now().Add(quarantinedFor + time.Hour))
	if err := again.handler.ForgetQuarantined(); err != nil {
		t.Fatal(err)
	}
	again.handler.CountQuarantined(&after)
	if n := s.documents("quarantine/") + s.documents(sealedPrefix); n != 0 || after.Items != 0 || after.ItemBytes != 0 || after.Replayable != 0 {
		t.Errorf("%d documents are left, %+v", n, after)
	}
}
