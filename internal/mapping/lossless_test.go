package mapping

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// said is what an event says of the fields that a record may leave out.
type said struct {
	Received string
	Groups   []string
	Extra    map[string][]string
}

// tb is what tests and properties have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// saidByEvent reads it from an audit event.
func saidByEvent(t tb, event []byte) said {
	t.Helper()
	type user struct {
		Groups []string
		Extra  map[string][]string
	}
	var e struct {
		RequestReceivedTimestamp string
		User                     user
		ImpersonatedUser         *user
	}
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	u := e.User
	if e.ImpersonatedUser != nil {
		u = *e.ImpersonatedUser
	}
	return said{e.RequestReceivedTimestamp, u.Groups, u.Extra}
}

// saidByRecord reads it from a record, by the rules of docs/event-reference.md
// and with nothing else at hand.
func saidByRecord(t tb, b []byte) said {
	t.Helper()
	var r struct {
		UserIdentity struct {
			Type, PrincipalID, AccessKeyID string
			SessionContext                 struct {
				SessionIssuer struct{ PrincipalID, UserName string }
			}
		}
		AdditionalEventData struct {
			RequestReceivedTimestamp, StageTimestamp string
			LatencyMilliseconds                      *float64
			Groups                                   []string
			Extra                                    map[string][]string
			Impersonator                             *struct{}
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	a, who := &r.AdditionalEventData, &r.UserIdentity
	s := said{a.RequestReceivedTimestamp, a.Groups, a.Extra}
	if s.Received == "" && a.LatencyMilliseconds != nil {
		at, err := time.Parse(time.RFC3339Nano, a.StageTimestamp)
		if err != nil {
			t.Fatal(err)
		}
		latency := time.Duration(math.Round(*a.LatencyMilliseconds*1000)) * time.Microsecond
		s.Received = at.Add(-latency).Format("2006-01-02T15:04:05.000000Z")
	}
	add := func(name, value string) {
		if _, ok := s.Extra[name]; ok {
			return
		}
		if s.Extra == nil {
			s.Extra = map[string][]string{}
		}
		s.Extra[name] = []string{value}
	}
	if who.AccessKeyID != "" && a.Impersonator == nil {
		add("authentication.kubernetes.io/credential-id", who.AccessKeyID)
	}
	if who.Type != "AssumedRole" {
		return s
	}
	issuer := who.SessionContext.SessionIssuer
	if pod, ok := strings.CutPrefix(who.PrincipalID, issuer.PrincipalID+":"); ok {
		add("authentication.kubernetes.io/pod-name", pod)
	}
	if s.Groups == nil {
		namespace := strings.Split(issuer.UserName, ":")[2]
		s.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	}
	return s
}

func checkLossless(t tb, event, rec []byte) {
	t.Helper()
	empty := cmp.Transformer("empty", func(s said) said { // absent and empty are one in an audit event
		if len(s.Groups) == 0 {
			s.Groups = nil
		}
		if len(s.Extra) == 0 {
			s.Extra = nil
		}
		return s
	})
	same := cmp.FilterPath(func(p cmp.Path) bool { return len(p) == 1 }, empty)
	if diff := cmp.Diff(saidByEvent(t, event), saidByRecord(t, rec), same); diff != "" {
		t.Errorf("the record does not say what the event did (-event +record):\n%s\n%s\n%s", diff, event, rec)
	}
}

// TestLossless: what a record leaves out can be read from the rest of it.
func TestLossless(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no events: %v", err)
	}
	shorter := 0
	for _, file := range files {
		event, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			rec, _ := mapped(t, event)
			checkLossless(t, event, rec)
			if !strings.Contains(string(rec), `"requestReceivedTimestamp":`) {
				shorter++
			}
		})
	}
	if shorter < len(files)/2 {
		t.Errorf("only %d of %d records leave the time of the request out", shorter, len(files))
	}
}

// TestLeftOut: only what follows exactly is left out.
func TestLeftOut(t *testing.T) {
	const (
		sa     = `"username":"system:serviceaccount:team-a:bot","uid":"u-1"`
		groups = `"groups":["system:serviceaccounts","system:serviceaccounts:team-a","system:authenticated"]`
		id     = `"authentication.kubernetes.io/credential-id":["JTI=1"]`
		pod    = `"authentication.kubernetes.io/pod-name":["bot-1"]`
		node   = `"authentication.kubernetes.io/node-name":["n"]`
		times  = `"requestReceivedTimestamp":"2026-11-21T10:00:00.000001Z","stageTimestamp":"2026-11-21T10:00:00.500000Z"`
	)
	for name, tc := range map[string]struct {
		user, rest, times string
		want              string // of requestReceivedTimestamp, groups and extra, what the record shows
	}{
		"everything follows":              {sa + "," + groups + `,"extra":{` + id + "," + pod + "}", "", times, ``},
		"a third member":                  {sa + "," + groups + `,"extra":{` + id + "," + node + "," + pod + "}", "", times, `"extra":{` + node + `}`},
		"first":                           {sa + "," + groups + `,"extra":{` + node + "," + id + "," + pod + "}", "", times, `"extra":{` + node + `}`},
		"last":                            {sa + "," + groups + `,"extra":{ ` + pod + " , " + id + " ,\n" + node + " }", "", times, `"extra":{` + node + `}`},
		"spaces":                          {sa + "," + groups + `,"extra":{ ` + node + " , " + pod + " }", "", times, `"extra":{` + node + `}`},
		"two credentials":                 {sa + "," + groups + `,"extra":{"authentication.kubernetes.io/credential-id":["a","b"]}`, "", times, `"extra":{"authentication.kubernetes.io/credential-id":["a","b"]}`},
		"an empty credential":             {sa + "," + groups + `,"extra":{"authentication.kubernetes.io/credential-id":[""]}`, "", times, `"extra":{"authentication.kubernetes.io/credential-id":[""]}`},
		"no credential":                   {sa + "," + groups + `,"extra":{"authentication.kubernetes.io/credential-id":[]}`, "", times, `"extra":{"authentication.kubernetes.io/credential-id":[]}`},
		"a long credential":               {sa + "," + groups + `,"extra":{"authentication.kubernetes.io/credential-id":["` + strings.Repeat("x", 1025) + `"]}`, "", times, `"extra":{"authentication.kubernetes.io/credential-id":["` + strings.Repeat("x", 1025) + `"]}`},
		"an escape":                       {sa + "," + groups + `,"extra":{"authentication.kubernetes.io/pod-name":["a\tb"]}`, "", times, `"extra":{"authentication.kubernetes.io/pod-name":["a\tb"]}`},
		"an escaped name beside":          {sa + "," + groups + `,"extra":{"n\t":["x"],` + pod + `}`, "", times, `"extra":{"n\t":["x"],` + pod + `}`},
		"beyond ASCII":                    {sa + "," + groups + `,"extra":{"é":["ü"],` + pod + `}`, "", times, `"extra":{"é":["ü"]}`},
		"the pod of a user":               {`"username":"ann","groups":["dev"],"extra":{` + id + "," + pod + "}", "", times, `"groups":["dev"],"extra":{` + pod + `}`},
		"no groups":                       {sa, "", times, `"groups":[]`},
		"groups in another order":         {sa + `,"groups":["system:serviceaccounts:team-a","system:serviceaccounts","system:authenticated"]`, "", times, `"groups":["system:serviceaccounts:team-a","system:serviceaccounts","system:authenticated"]`},
		"groups of another namespace":     {sa + `,"groups":["system:serviceaccounts","system:serviceaccounts:team-b","system:authenticated"]`, "", times, `"groups":["system:serviceaccounts","system:serviceaccounts:team-b","system:authenticated"]`},
		"one group more":                  {sa + `,"groups":["system:serviceaccounts","system:serviceaccounts:team-a","system:authenticated","x"]`, "", times, `"groups":["system:serviceaccounts","system:serviceaccounts:team-a","system:authenticated","x"]`},
		"a user without groups":           {`"username":"ann"`, "", times, ``},
		"a user with such groups":         {`"username":"ann",` + groups, "", times, groups},
		"no time of the request":          {`"username":"ann"`, "", `"stageTimestamp":"2026-11-21T10:00:00.500000Z"`, ``},
		"nanoseconds":                     {`"username":"ann"`, "", `"requestReceivedTimestamp":"2026-11-21T10:00:00.000000001Z","stageTimestamp":"2026-11-21T10:00:00.500000Z"`, `"requestReceivedTimestamp":"2026-11-21T10:00:00.000000001Z"`},
		"a zone":                          {`"username":"ann"`, "", `"requestReceivedTimestamp":"2026-11-21T10:00:00.00001+0","stageTimestamp":"2026-11-21T10:00:00.500000Z"`, `"requestReceivedTimestamp":"2026-11-21T10:00:00.00001+0"`},
		"before the request":              {`"username":"ann"`, "", `"requestReceivedTimestamp":"2026-11-21T10:00:01.000000Z","stageTimestamp":"2026-11-21T10:00:00.500000Z"`, `"requestReceivedTimestamp":"2026-11-21T10:00:01.000000Z"`},
		"another minute":                  {`"username":"ann"`, "", `"requestReceivedTimestamp":"2026-11-21T09:59:59.999999Z","stageTimestamp":"2026-11-21T10:00:00.500000Z"`, `"requestReceivedTimestamp":"2026-11-21T09:59:59.999999Z"`},
		"at once":                         {`"username":"ann"`, "", `"requestReceivedTimestamp":"2026-11-21T10:00:00.500000Z","stageTimestamp":"2026-11-21T10:00:00.500000Z"`, ``},
		"an impersonated service account": {`"username":"ann","extra":{` + id + `}`, `"impersonatedUser":{` + sa + "," + groups + `,"extra":{` + id + "," + pod + `}},`, times, `"extra":{` + id + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			event := []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete",` +
				`"requestURI":"/api","verb":"get","user":{` + tc.user + `},` + tc.rest + tc.times + `}`)
			rec, _ := mapped(t, event)
			checkLossless(t, event, rec)
			var r struct {
				AdditionalEventData map[string]json.RawMessage
			}
			if err := json.Unmarshal(rec, &r); err != nil {
				t.Fatal(err)
			}
			var shown []string
			for _, key := range []string{"requestReceivedTimestamp", "groups", "extra"} {
				if v, ok := r.AdditionalEventData[key]; ok {
					shown = append(shown, fmt.Sprintf("%q:%s", key, v))
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(shown, ",")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestLosslessProperty: nothing is lost of any user and any two times.
func TestLosslessProperty(t *testing.T) {
	names := []string{"ann", "system:serviceaccount:a:b", "system:serviceaccount:a:", "system:serviceaccount:ab:c:d", "system:masters", "system:kube-scheduler", "", "system:anonymous"}
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:a", "system:serviceaccounts:ab", "system:authenticated", "system:masters", ""}
	keys := []string{"authentication.kubernetes.io/credential-id", "authentication.kubernetes.io/pod-name", "x", "é", "\n"}
	values := []string{"", "v", "a:b", "u", "\t", "ü", `"`}
	rapid.Check(t, func(r *rapid.T) {
		user := func(label string) map[string]any {
			u := map[string]any{"username": rapid.SampledFrom(names).Draw(r, label), "uid": rapid.SampledFrom([]string{"", "u", "a:b"}).Draw(r, label+" uid")}
			switch rapid.IntRange(0, 2).Draw(r, label+" groups") {
			case 1:
				u["groups"] = []string{"system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"}
			case 2:
				u["groups"] = rapid.SliceOfN(rapid.SampledFrom(groups), 0, 4).Draw(r, label+" list")
			}
			u["extra"] = rapid.MapOfN(rapid.SampledFrom(keys), rapid.SliceOfN(rapid.SampledFrom(values), 0, 2), 0, 4).Draw(r, label+" extra")
			return u
		}
		at := func(label string) string {
			format := rapid.SampledFrom([]string{"2006-01-02T15:04:05.000000Z", time.RFC3339Nano, time.RFC3339}).Draw(r, label+" format")
			return time.Unix(1700000000, rapid.Int64Range(0, 100e9).Draw(r, label)).UTC().Format(format)
		}
		e := map[string]any{
			"level": "Metadata", "auditID": "a", "stage": "ResponseComplete", "requestURI": "/x", "verb": "get", "user": user("user"),
			"requestReceivedTimestamp": at("received"), "stageTimestamp": at("stage"),
		}
		if rapid.Bool().Draw(r, "impersonated") {
			e["impersonatedUser"] = user("impersonated")
		}
		event, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		rec, _ := mapped(t, event)
		checkLossless(r, event, rec)
	})
}
