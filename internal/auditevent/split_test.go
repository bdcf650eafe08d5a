package auditevent

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// seen is what a Splitter said about a body.
type seen struct {
	Items  []string // key, or reason, length and sum
	Stored []string
	Chunks []chunk
	Err    string
}

type chunk struct {
	ID    [sha256.Size]byte
	Items int
}

type recorder struct {
	seen
	items  int
	failAt int
}

func (r *recorder) Item(it *Item) error {
	if r.failAt > 0 && len(r.Items) == r.failAt-1 {
		return errors.New("no more")
	}
	r.items++
	if it.Event == nil {
		r.Items = append(r.Items, fmt.Sprintf("%v: %d bytes, %x, %q", it.Err, it.Length, it.Sum, it.Head))
		return nil
	}
	r.Items = append(r.Items, fmt.Sprintf("%x %v", it.Event.Key("c"), it.Event.Omitted))
	r.Stored = append(r.Stored, string(it.Event.AppendStored(nil, false)))
	return nil
}

func (r *recorder) Cut(id [sha256.Size]byte) error {
	r.Chunks = append(r.Chunks, chunk{id, r.items})
	r.items = 0
	return nil
}

func split(s *Splitter, r io.Reader) seen {
	var rec recorder
	if err := s.Split("c/a", r, &rec); err != nil {
		rec.Err = err.Error()
	}
	return rec.seen
}

const (
	listHead = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`
	listTail = "]}\n"
)

func list(items ...string) string { return listHead + strings.Join(items, ",") + listTail }

// numbered is an event of about the given size, with its bodies.
func numbered(n, size int) string {
	return fmt.Sprintf(`{"level":"RequestResponse","auditID":"id-%d","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/d/configmaps",`+
		`"verb":"create","user":{"username":"admin","groups":["a","b"]},"sourceIPs":["10.0.0.1"],"objectRef":{"resource":"configmaps",`+
		`"namespace":"d","name":"n%d","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"ConfigMap",`+
		`"data":{"x":"%s"}},"requestReceivedTimestamp":"2026-11-21T03:39:02.498580Z","stageTimestamp":"2026-11-21T03:39:02.498580Z"}`,
		n, n, strings.Repeat("x", size))
}

func TestSplitFindsTheItems(t *testing.T) {
	var s Splitter
	var p Parser
	for name, items := range recorded(t) {
		var want []string
		for _, item := range items {
			e, err := p.Parse(item)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%x %v", e.Key("c"), e.Omitted))
		}
		body := []byte(listHead + string(bytes.Join(items, []byte(","))) + listTail)
		var indented bytes.Buffer
		if err := json.Indent(&indented, body, "", "  "); err != nil {
			t.Fatal(err)
		}
		got := split(&s, bytes.NewReader(body))
		if diff := cmp.Diff(want, got.Items); diff != "" || got.Err != "" || len(got.Chunks) != 1 {
			t.Errorf("%s: %s %s %v", name, diff, got.Err, got.Chunks)
		}
		spread := split(&s, &indented)
		if len(spread.Items) != len(want) || spread.Chunks[0].ID == got.Chunks[0].ID {
			t.Errorf("%s with white space: %d items, want %d", name, len(spread.Items), len(want))
		}
	}
}

// outcome describes items in short: r for one that can become a record.
func outcome(s seen) string {
	var out []string
	for _, it := range s.Items {
		reason, _, bad := strings.Cut(it, ": ")
		if !bad {
			reason = "r"
		}
		out = append(out, reason)
	}
	return strings.Join(out, "; ")
}

func TestSplitBadInput(t *testing.T) {
	e := minimal
	good := numbered(1, 10)
	kindLast := `{"items":[` + e + `],"metadata":{"a":[1]},"apiVersion":"audit.k8s.io/v1","kind":"EventList"}`
	for name, c := range map[string]struct{ body, want string }{
		"two":                       {list(e, good), "r; r"},
		"none":                      {list(), ""},
		"null items":                {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":null}`, ""},
		"no items":                  {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`, ""},
		"kind last":                 {kindLast, "r"},
		"white space":               {strings.NewReplacer(",", " \n, ", ":", "\t:\r\n").Replace(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[1,2]}`) + "  ", errNoObject.Error() + "; " + errNoObject.Error()},
		"empty":                     {"", errEnds.Error()},
		"not JSON":                  {"hello", errBroken.Error()},
		"an array":                  {"[" + e + "]", errBroken.Error()},
		"one event":                 {e, errList.Error()},
		"a pod":                     {`{"kind":"Pod","apiVersion":"v1","metadata":{}}`, errList.Error()},
		"old version":               {strings.Replace(list(e), "/v1\"", "/v1beta1\"", 1), errList.Error()},
		"wrong kind last":           {strings.Replace(kindLast, `"EventList"`, `"List"`, 1), "r; " + errList.Error()},
		"no kind":                   {`{"items":[` + e + `]}`, "r; " + errList.Error()},
		"items no list":             {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}`, errBroken.Error()},
		"items twice":               {strings.Replace(list(e), "]}", `],"items":[]}`, 1), "r; " + errBroken.Error()},
		"bad member":                {list(e, `{"auditID":1}`, good), "r; " + errType.Error() + "; r"},
		"bad JSON in one":           {list(e, `{"auditID":tru,"a":"}"}`, good), "r; " + errSyntax.Error() + "; r"},
		"bad escape in one":         {list(e, `{"auditID":"\x","b":"\"}"}`, good), "r; " + errSyntax.Error() + "; r"},
		"bad word":                  {list(e, `nope`, good), "r; " + errSyntax.Error() + "; r"},
		"null":                      {list("null", e), errNoObject.Error() + "; r"},
		"deep garbage":              {list(e, strings.Repeat("[", 1000)+strings.Repeat("]", 1000), e), "r; " + errDeep.Error() + "; r"},
		"nothing between commas":    {list(e, "", e), "r; " + errBroken.Error()},
		"comma before the end":      {list(e, ""), "r; " + errBroken.Error()},
		"missing comma":             {list(e + e), "r; " + errBroken.Error()},
		"wrong bracket":             {strings.Replace(list(e), "]}\n", "}}\n", 1), "r; " + errBroken.Error()},
		"ends in an item":           {listHead + e + "," + good[:50], "r; " + errEnds.Error()},
		"ends in a bad item":        {listHead + e + `,{"a":tru,"b":"`, "r; " + errEnds.Error()},
		"ends behind an item":       {listHead + e, "r; " + errEnds.Error()},
		"ends behind a comma":       {listHead + e + ", ", "r; " + errEnds.Error()},
		"ends behind the items":     {listHead + e + "]", "r; " + errEnds.Error()},
		"more behind":               {list(e) + "x", "r; " + errBroken.Error()},
		"broken in the middle":      {listHead + e + "]]]" + e, "r; " + errBroken.Error()},
		"header without end":        {`{"metadata":"` + strings.Repeat("x", 2<<20) + `"`, errHeader.Error()},
		"endless white space":       {strings.Repeat(" ", 2<<20) + list(e), errHeader.Error()},
		"white space between items": {listHead + e + strings.Repeat(" ", 3<<20) + "," + e + listTail, "r; r"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Splitter
			got := split(&s, strings.NewReader(c.body))
			if diff := cmp.Diff(c.want, outcome(got)); diff != "" || got.Err != "" {
				t.Fatalf("(-want +got) %s error %q", diff, got.Err)
			}
			if n := len(got.Chunks); (n == 0) != (c.want == "") {
				t.Fatalf("%d chunks", n)
			}
			if again := split(&s, iotest.HalfReader(strings.NewReader(c.body))); cmp.Diff(got, again) != "" {
				t.Fatal("the same body gives something else the second time")
			}
		})
	}
}

func TestSplitAccountsForTheRest(t *testing.T) {
	var s Splitter
	rest := `{"auditID":"x` + strings.Repeat("y", 3<<20)
	got := split(&s, strings.NewReader(listHead+minimal+","+rest))
	want := fmt.Sprintf("%v: %d bytes, %x, %q", errEnds, len(rest), sha256.Sum256([]byte(rest)), rest[:headSize])
	if len(got.Items) != 2 || got.Items[1] != want {
		t.Fatalf("%.200q, want %.200q", got.Items, want)
	}
}

func TestSplitReturnsErrors(t *testing.T) {
	var s Splitter
	cut := errors.New("connection reset")
	for _, n := range []int{0, 10, len(listHead), len(listHead) + 20, len(list(minimal)) - 2, len(list(minimal))} {
		body := strings.NewReader(list(minimal)[:n])
		var rec recorder
		err := s.Split("c/a", io.MultiReader(body, iotest.ErrReader(cut)), &rec)
		var readErr *ReadError
		if !errors.As(err, &readErr) || !errors.Is(err, cut) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
		if len(rec.Chunks) != 0 {
			t.Errorf("cut after %d bytes: a chunk was made of what came", n)
		}
	}
	if err := s.Split("c/a", strings.NewReader(list(minimal, minimal, minimal)), &recorder{failAt: 2}); err == nil || err.Error() != "no more" {
		t.Errorf("error of the visitor: %v", err)
	}
	if got := split(&s, strings.NewReader(list(minimal))); got.Err != "" || len(got.Items) != 1 {
		t.Errorf("the Splitter does not work on: %+v", got)
	}
}

func TestChunks(t *testing.T) {
	var s Splitter
	var items []string
	for i := range 9000 {
		items = append(items, numbered(i, 500))
	}
	body := list(items...)
	got := split(&s, strings.NewReader(body))
	total := 0
	for i, c := range got.Chunks {
		total += c.Items
		if size := c.Items * len(items[0]); size > ChunkSize || i+1 < len(got.Chunks) && size < ChunkSize/2 {
			t.Errorf("chunk %d has %d bytes", i, size)
		}
	}
	if total != len(items) || len(got.Chunks) < 3 {
		t.Fatalf("%d items in %d chunks", total, len(got.Chunks))
	}
	var elsewhere recorder
	if err := s.Split("c/b", strings.NewReader(body), &elsewhere); err != nil || len(elsewhere.Chunks) != len(got.Chunks) {
		t.Fatal(err)
	}
	for i, c := range elsewhere.Chunks {
		if c.ID == got.Chunks[i].ID {
			t.Errorf("chunk %d of another source has the same ID", i)
		}
	}
	changed := split(&s, strings.NewReader(strings.Replace(body, "id-8999", "id-9999", 1)))
	last := len(got.Chunks) - 1
	if changed.Chunks[last].ID == got.Chunks[last].ID || changed.Chunks[0].ID != got.Chunks[0].ID {
		t.Error("a change in the last item does not show in the last chunk alone")
	}
}

// genBody draws bodies of all kinds of items, whole and damaged.
func genBody(t *rapid.T) string {
	item := rapid.Custom(func(t *rapid.T) string {
		switch n := rapid.IntRange(0, 99).Draw(t, "kind"); {
		case n < 60:
			return numbered(n, rapid.IntRange(0, 3000).Draw(t, "size"))
		case n < 70:
			return numbered(n, rapid.SampledFrom([]int{bufferSize - 400, bufferSize, maxItem - 600, maxItem - 500, maxItem, maxItem + 300000}).Draw(t, "large"))
		case n < 80:
			return minimal + strings.Repeat(" ", n)
		case n < 85:
			return strings.Replace(minimal, `{`, `{"requestURI":"`+strings.Repeat(`\u00e9é`, rapid.IntRange(0, 3).Draw(t, "long")*70000)+`",`, 1)
		case n < 90:
			return rapid.SampledFrom([]string{"1", "null", `"x"`, `{"a":}`, `[[1],{}]`, `{"a":"\q"}`}).Draw(t, "bad")
		case n < 95:
			return minimal[:len(minimal)-1] + `,"requestObject":` + strings.Repeat("[", 400) + strings.Repeat("]", 400) + "}"
		default:
			return numbered(n, 20)
		}
	})
	body := list(rapid.SliceOfN(item, 0, 12).Draw(t, "items")...)
	if rapid.IntRange(0, 3).Draw(t, "damage") == 0 {
		at := rapid.IntRange(0, len(body)).Draw(t, "at")
		body = body[:at] + rapid.SampledFrom([]string{"", "}", `"`, "]]"}).Draw(t, "with")
	}
	return body
}

// drawnReader returns as much as rapid wants.
type drawnReader struct {
	t    *rapid.T
	body string
}

func (r *drawnReader) Read(b []byte) (int, error) {
	if len(r.body) == 0 {
		return 0, io.EOF
	}
	most := rapid.SampledFrom([]int{1, 10, 1000, 1 << 15, 1 << 18, 1 << 20}).Draw(r.t, "most")
	n := copy(b, r.body[:min(len(r.body), rapid.IntRange(max(1, most/2), most).Draw(r.t, "n"))])
	r.body = r.body[n:]
	return n, nil
}

func TestSplitDependsOnTheBodyAlone(t *testing.T) {
	used := &Splitter{}
	rapid.Check(t, func(t *rapid.T) {
		body := genBody(t)
		want := split(&Splitter{}, strings.NewReader(body))
		got := split(used, &drawnReader{t, body})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-at once +in pieces) %s", diff)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(list(minimal, `{"a":tru}`, numbered(1, 10))), 7)
	f.Add([]byte(`{"items":[`+minimal+`],"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`), 1)
	f.Add([]byte(list(minimal)[:100]), 3)
	f.Add([]byte(`{"items":[`+strings.Repeat("[", 300)), 3)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		want := split(&Splitter{}, bytes.NewReader(body))
		got := split(&Splitter{}, &pieces{body, max(1, min(size, 1<<20))})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-at once +in pieces) %s", diff)
		}
		if want.Err != "" {
			t.Fatal(want.Err)
		}
	})
}

type pieces struct {
	body []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.body) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.body[:min(len(p.body), p.size)])
	p.body = p.body[n:]
	return n, nil
}
