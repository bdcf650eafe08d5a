package auditevent

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reduced sends one oversized item through a Splitter and returns its event
// and what is stored of it.
func reduced(t *testing.T, item string) (omitted []string, stored map[string]any) {
	t.Helper()
	if len(item) <= maxItem {
		t.Fatalf("the item has only %d bytes", len(item))
	}
	var s Splitter
	got := split(&s, strings.NewReader(list(minimal, item, minimal)))
	if len(got.Items) != 3 || len(got.Stored) != 3 {
		t.Fatalf("%.300v", got.Items)
	}
	if len(got.Stored[1]) > maxItem {
		t.Errorf("%d bytes remain", len(got.Stored[1]))
	}
	if err := json.Unmarshal([]byte(got.Stored[1]), &stored); err != nil {
		t.Fatal(err)
	}
	var p Parser
	e, err := p.Parse([]byte(got.Stored[1]))
	if err != nil {
		t.Fatal(err)
	}
	return append([]string(nil), e.Omitted...), stored
}

func TestReduceDropsBodies(t *testing.T) {
	omitted, stored := reduced(t, numbered(7, 2<<20))
	want := map[string]any{}
	if err := json.Unmarshal([]byte(numbered(7, 1)), &want); err != nil {
		t.Fatal(err)
	}
	delete(want, "requestObject")
	want["trailOmitted"] = []any{"requestObject"}
	if diff := cmp.Diff(want, stored); diff != "" || !cmp.Equal(omitted, []string{"requestObject"}) {
		t.Fatalf("%s, omitted %v", diff, omitted)
	}
	body := `{"a":["}",{"b":"\\"},"\"` + strings.Repeat("x", maxItem) + `"]}`
	omitted, stored = reduced(t, `{"responseObject":`+body+`,"requestObject":`+body+","+minimal[1:])
	if len(stored) != 4 || !cmp.Equal(omitted, []string{"responseObject", "requestObject"}) {
		t.Fatalf("%v, omitted %v", stored, omitted)
	}
}

// A caller must not escape the record by making its event large with headers.
func TestReduceKeepsTheEvent(t *testing.T) {
	const head = `{"auditID":"a","stage":"ResponseComplete","stageTimestamp":"2026-11-21T03:39:02.498580Z","verb":"delete",`
	const ref = `"user":{"username":"eve","groups":["dev"]},"objectRef":{"resource":"pods","name":"p"}`
	var ips, extra, groups []string
	for i := range 200000 {
		ips = append(ips, fmt.Sprintf(`"10.%d.%d.%d"`, i>>16, i>>8&255, i&255))
		extra = append(extra, fmt.Sprintf(`"key-%d":["a","b"]`, i))
		groups = append(groups, fmt.Sprintf(`"group-%d"`, i))
	}
	for name, c := range map[string]struct{ item, omitted string }{
		"requestURI": {head + ref + `,"requestURI":"/api?` + strings.Repeat(`\u003c`, maxItem/5) + `"}`, "requestURI"},
		"long UTF-8": {head + ref + `,"requestURI":"/api?x` + strings.Repeat(`ü`, maxItem) + `"}`, "requestURI"},
		"escapes":    {head + ref + `,"requestURI":"/api?xy` + strings.Repeat(`\"\\`, maxItem) + `"}`, "requestURI"},
		"name and message": {head + `"user":{"username":"eve","groups":["dev"]},"objectRef":{"resource":"pods","name":"` + strings.Repeat("p", maxItem) +
			`"},"responseStatus":{"message":"` + strings.Repeat("p", maxItem) + `","code":404}}`, "objectRef responseStatus"},
		"X-Forwarded-For": {head + ref + `,"sourceIPs":[` + strings.Join(ips, ",") + `]}`, "sourceIPs"},
		"groups":          {head + `"user":{"username":"eve","groups":[` + strings.Join(groups, ",") + `],"extra":{"a":["b"]}},"objectRef":{"resource":"pods","name":"p"}}`, "user"},
		"extra":           {head + `"user":{"username":"eve","groups":["dev"],"extra":{` + strings.Join(extra, ",") + `}},"objectRef":{"resource":"pods","name":"p"}}`, "user"},
		"annotations":     {head + ref + `,"annotations":{"authorization.k8s.io/decision":"allow","patch":"` + strings.Repeat(`\"`, maxItem) + `"}}`, "annotations"},
		"causes": {head + ref + `,"responseStatus":{"code":422,"details":{"causes":[` + strings.Repeat(`{"message":"m"},`, maxItem/8) +
			`{}]}}}`, "responseStatus"},
	} {
		t.Run(name, func(t *testing.T) {
			omitted, stored := reduced(t, c.item)
			if got := strings.Join(omitted, " "); got != c.omitted {
				t.Errorf("omitted %q, want %q", got, c.omitted)
			}
			user, _ := stored["user"].(map[string]any)
			object, _ := stored["objectRef"].(map[string]any)
			if user["username"] != "eve" || object["resource"] != "pods" || stored["verb"] != "delete" {
				t.Errorf("user %v, object %v", user, object)
			}
			if name == "X-Forwarded-For" {
				kept := stored["sourceIPs"].([]any)
				if got, want := kept[len(kept)-1], strings.Trim(ips[len(ips)-1], `"`); got != want || len(kept) > maxList {
					t.Errorf("the last of %d addresses is %v, want %v", len(kept), got, want)
				}
			}
		})
	}
}

func TestReduceDropsDeepBodies(t *testing.T) {
	var s Splitter
	deep := minimal[:len(minimal)-1] + `,"requestObject":{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `},"verb":"create"}`
	got := split(&s, strings.NewReader(list(deep)))
	want := minimal[:len(minimal)-1] + `,"verb":"create","trailOmitted":["requestObject"]}`
	if diff := cmp.Diff([]string{want}, got.Stored); diff != "" {
		t.Fatal(diff)
	}
}

func TestReduceRefuses(t *testing.T) {
	long := strings.Repeat("x", maxItem)
	var members strings.Builder
	for i := range 80000 {
		fmt.Fprintf(&members, `"member-%d":"%d",`, i, i)
	}
	for name, c := range map[string]struct {
		item string
		want error
	}{
		"an array":              {`["` + long + `"]`, errLarge},
		"a string":              {`"` + long + `"`, errLarge},
		"a number":              {strings.Repeat("1", maxItem+1), errLarge},
		"members without end":   {"{" + members.String() + minimal[1:], errLarge},
		"a number as member":    {`{"x":` + strings.Repeat("1", maxItem) + "," + minimal[1:], errLarge},
		"no event":              {`{"requestObject":"` + long + `"}`, errAuditID},
		"garbage between":       {`{"requestObject":"` + long + `",,` + minimal[1:], errLarge},
		"not JSON without it":   {`{"requestObject":"` + long + `","verb":x,` + minimal[1:], errSyntax},
		"a name without quotes": {`{"requestObject":"` + long + `",verb:"x",` + minimal[1:], errLarge},
	} {
		t.Run(name, func(t *testing.T) {
			var s Splitter
			got := split(&s, strings.NewReader(list(c.item, minimal)))
			if want := c.want.Error() + "; r"; outcome(got) != want {
				t.Fatalf("got %q, want %q", outcome(got), want)
			}
		})
	}
}
