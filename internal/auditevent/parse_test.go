package auditevent

import (
	"encoding/json"
	"errors"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/valyala/fastjson"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"pgregory.net/rapid"
)

// minimal is the least that can become a record.
const minimal = `{"auditID":"a","stage":"ResponseComplete","stageTimestamp":"2026-11-21T03:39:02.498580Z"}`

// plain is an Event without its JSON values, which compare as text.
type plain struct {
	Event     Event
	JSON      map[string]string
	SourceIPs []string
}

func flatten(e *Event) plain {
	values := map[string]string{}
	for name, v := range map[string]*fastjson.Value{
		"extra": e.User.Extra.Value(), "impersonatedExtra": e.ImpersonatedUser.Extra.Value(), "request": e.RequestObject.Value(),
		"response": e.ResponseObject.Value(), "annotations": e.Annotations.Value(), "authentication": e.AuthenticationMetadata.Value(),
	} {
		if v != nil {
			values[name] = v.String()
		}
	}
	p := plain{Event: *e, JSON: values}
	p.Event.RequestObject, p.Event.ResponseObject = JSON{}, JSON{}
	p.Event.Annotations, p.Event.AuthenticationMetadata = JSON{}, JSON{}
	p.Event.User.Extra, p.Event.ImpersonatedUser.Extra = JSON{}, JSON{}
	return p
}

var comparePlain = cmp.Options{
	cmpopts.IgnoreUnexported(Event{}, User{}, JSON{}), cmpopts.EquateEmpty(),
}

// expected decodes an item with kube-apiserver's own types.
func expected(t *testing.T, item []byte) plain {
	t.Helper()
	var a auditv1.Event
	if err := json.Unmarshal(item, &a); err != nil {
		t.Fatal(err)
	}
	var raw struct {
		User, ImpersonatedUser                                             struct{ Extra json.RawMessage }
		RequestObject, ResponseObject, Annotations, AuthenticationMetadata json.RawMessage
		RequestReceivedTimestamp, StageTimestamp                           string
	}
	if err := json.Unmarshal(item, &raw); err != nil {
		t.Fatal(err)
	}
	e := Event{
		Level: string(a.Level), AuditID: string(a.AuditID), Stage: string(a.Stage), RequestURI: a.RequestURI,
		Verb: a.Verb, UserAgent: a.UserAgent, SourceIPs: a.SourceIPs,
		User:                     User{Username: a.User.Username, UID: a.User.UID, Groups: a.User.Groups},
		RequestReceivedTimestamp: raw.RequestReceivedTimestamp, StageTimestamp: raw.StageTimestamp,
		Time: a.StageTimestamp.UTC(),
	}
	if u := a.ImpersonatedUser; u != nil {
		e.Impersonated, e.ImpersonatedUser = true, User{Username: u.Username, UID: u.UID, Groups: u.Groups}
	}
	if r := a.ObjectRef; r != nil {
		e.HasObjectRef = true
		e.ObjectRef = ObjectRef{
			Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace, Name: r.Name,
			UID: string(r.UID), APIGroup: r.APIGroup, APIVersion: r.APIVersion, ResourceVersion: r.ResourceVersion,
		}
	}
	if s := a.ResponseStatus; s != nil {
		e.Code, e.Status, e.Reason, e.Message = int(s.Code), s.Status, string(s.Reason), s.Message
	}
	values := map[string]string{}
	for name, v := range map[string]json.RawMessage{
		"extra": raw.User.Extra, "impersonatedExtra": raw.ImpersonatedUser.Extra, "request": raw.RequestObject,
		"response": raw.ResponseObject, "annotations": raw.Annotations, "authentication": raw.AuthenticationMetadata,
	} {
		if len(v) > 0 {
			values[name] = fastjson.MustParseBytes(v).String()
		}
	}
	return plain{Event: e, JSON: values}
}

func TestParseMatchesKubernetesTypes(t *testing.T) {
	var p Parser
	for name, items := range recorded(t) {
		for i, item := range items {
			e, err := p.Parse(item)
			if err != nil {
				t.Fatalf("%s item %d: %v", name, i, err)
			}
			if diff := cmp.Diff(expected(t, item), flatten(e), comparePlain); diff != "" {
				t.Errorf("%s item %d (-want +got):\n%s", name, i, diff)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	with := func(member string) string { return minimal[:len(minimal)-1] + "," + member + "}" }
	for name, c := range map[string]struct {
		item string
		want error
	}{
		"empty":                 {"", errShort},
		"number":                {"1 ", errNoObject},
		"string":                {`"x"`, errNoObject},
		"array":                 {"[]", errNoObject},
		"no members":            {"{}", errAuditID},
		"no auditID":            {strings.Replace(minimal, `"auditID":"a",`, "", 1), errAuditID},
		"empty auditID":         {strings.Replace(minimal, `"a"`, `""`, 1), errAuditID},
		"null auditID":          {strings.Replace(minimal, `"a"`, `null`, 1), errAuditID},
		"no stage":              {strings.Replace(minimal, "ResponseComplete", "", 1), errStage},
		"unknown stage":         {strings.Replace(minimal, "ResponseComplete", "Later", 1), errStage},
		"no time":               {`{"auditID":"a","stage":"Panic"}`, errTimestamp},
		"bad time":              {strings.Replace(minimal, "03:39", "3 h", 1), errTimestamp},
		"auditID of wrong type": {strings.Replace(minimal, `"a"`, `1`, 1), errType},
		"user of wrong type":    {with(`"user":"admin"`), errType},
		"name of wrong type":    {with(`"user":{"username":["a"]}`), errType},
		"groups of wrong type":  {with(`"user":{"groups":"a"}`), errType},
		"group of wrong type":   {with(`"user":{"groups":["a",1]}`), errType},
		"extra of wrong type":   {with(`"user":{"extra":[]}`), errType},
		"IPs of wrong type":     {with(`"sourceIPs":{}`), errType},
		"ref of wrong type":     {with(`"objectRef":[]`), errType},
		"resource not a string": {with(`"objectRef":{"resource":{}}`), errType},
		"code not a number":     {with(`"responseStatus":{"code":"200"}`), errType},
		"code not whole":        {with(`"responseStatus":{"code":2e2}`), errType},
		"code too large":        {with(`"responseStatus":{"code":4294967496}`), errType},
		"annotations a list":    {with(`"annotations":[]`), errType},
		"twice":                 {with(`"stage":"Panic"`), errTwice},
		"escaped name":          {with(`"request\u004fbject":{}`), errKey},
		"other kind":            {with(`"kind":"Pod"`), errKind},
		"other version":         {with(`"apiVersion":"audit.k8s.io/v1beta1"`), errKind},
		"not finished":          {minimal[:60], errShort},
		"more behind":           {minimal + "{}", errSyntax},
		"NaN":                   {with(`"x":NaN`), errSyntax},
		"leading zero":          {with(`"x":01`), errSyntax},
		"bare word":             {with(`"x":nul`), errSyntax},
		"control character":     {with("\"x\":\"a\nb\""), errSyntax},
		"bad escape":            {with(`"x":"\x41"`), errSyntax},
		"bad unit":              {with(`"x":"\u12g4"`), errSyntax},
		"comma before the end":  {with(`"x":[1,]`), errSyntax},
		"comma at the end":      {minimal[:len(minimal)-1] + ",}", errSyntax},
		"missing comma":         {with(`"x":[1 2]`), errSyntax},
		"bracket mismatch":      {with(`"x":[1}`), errSyntax},
		"missing colon":         {with(`"x" 1`), errSyntax},
		"too deep":              {with(`"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300)), errDeep},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			if _, err := p.Parse([]byte(c.item)); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	var p Parser
	for name, member := range map[string]string{
		"nulls": `"user":null,"objectRef":null,"responseStatus":null,"annotations":null,"sourceIPs":null,` +
			`"requestObject":null,"impersonatedUser":null,"requestReceivedTimestamp":null,"level":null`,
		"nested nulls":  `"user":{"username":null,"groups":null,"extra":null},"responseStatus":{"code":null}`,
		"log line":      `"kind":"Event","apiVersion":"audit.k8s.io/v1"`,
		"unknown":       `"later":{"a":[1,-0.5e-3,true,false,null]}`,
		"patch":         `"requestObject":[{"op":"add"}]`,
		"invalid UTF-8": "\"requestObject\":{\"a\":\"\xff\"}",
		"deep enough":   `"requestObject":` + strings.Repeat("[", 255) + strings.Repeat("]", 255),
	} {
		item := minimal[:len(minimal)-1] + "," + member + " } \n"
		if _, err := p.Parse([]byte(item)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseUnescapes(t *testing.T) {
	var p Parser
	e, err := p.Parse([]byte(minimal[:len(minimal)-1] + `,"requestURI":"\/a\u0026b\"\\\b\f\n\r\t\ud83d\ude00\ud83d","userAgent":"\u00e9"}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "/a&b\"\\\b\f\n\r\t\U0001F600\uFFFD"; e.RequestURI != want || e.UserAgent != "é" {
		t.Fatalf("got %q and %q", e.RequestURI, e.UserAgent)
	}
	if want := time.Date(2026, 11, 21, 3, 39, 2, 498580000, time.UTC); !e.Time.Equal(want) {
		t.Fatalf("time %v", e.Time)
	}
}

func TestParseLeavesLargeBodiesUndecoded(t *testing.T) {
	var p Parser
	large := `{"a":"` + strings.Repeat("x", MaxBody) + `"}`
	e, err := p.Parse([]byte(minimal[:len(minimal)-1] + `,"requestObject":` + large + `,"responseObject":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if e.RequestObject.Raw() != nil || e.RequestObject.Value() != nil || e.ResponseObject.Value() == nil || !cmp.Equal(e.Omitted, []string{"requestObject"}) {
		t.Fatalf("request %q, response %q, omitted %v", e.RequestObject.Raw(), e.ResponseObject.Raw(), e.Omitted)
	}
	if e, err = p.Parse([]byte(minimal)); err != nil || len(e.Omitted) != 0 || e.AuditID != "a" {
		t.Fatalf("the next event shows the one before: %+v, %v", e, err)
	}
}

// A hostile item must not leave the parser with many times its size.
func TestParseGivesMemoryBack(t *testing.T) {
	var p Parser
	item := []byte(minimal[:len(minimal)-1] + `,"user":{"groups":["a"` + strings.Repeat(`,"a"`, 100000) + `]},"requestObject":[0` +
		strings.Repeat(",0", MaxBody/2-10) + `]}`)
	live := func() uint64 {
		var m goruntime.MemStats
		goruntime.GC()
		goruntime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	if e, err := p.Parse(item); err != nil || e.RequestObject.Value() == nil {
		t.Fatal(err)
	}
	if used := live() - before; used < 4<<20 {
		t.Fatalf("the item is not hostile enough: %d bytes", used)
	}
	if _, err := p.Parse([]byte(minimal)); err != nil {
		t.Fatal(err)
	}
	if after := live(); after > before+64<<10 {
		t.Errorf("%d bytes are kept", after-before)
	}
	goruntime.KeepAlive(&p)
}

func TestParseCutsLongAnnotations(t *testing.T) {
	var p Parser
	item := minimal[:len(minimal)-1] + `,"annotations":{"a":"1","patch":"` + strings.Repeat("x", MaxBody) + `","b":"2"}}`
	e, err := p.Parse([]byte(item))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(e.Annotations.Raw()); got != `{"a":"1","b":"2"}` || !cmp.Equal(e.Omitted, []string{"annotations"}) {
		t.Fatalf("got %s, omitted %v", got, e.Omitted)
	}
}

// Whatever kube-apiserver encodes is accepted, and read as it means it.
func TestParseAcceptsWhatKubernetesWrites(t *testing.T) {
	var p Parser
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\\", "\"", "<&>\u2028", "\x00\x1f\x7f", "a\xffb", "😀"}))
	user := func(t *rapid.T, label string) authnv1.UserInfo {
		return authnv1.UserInfo{
			Username: text.Draw(t, label), UID: text.Draw(t, label), Groups: rapid.SliceOf(text).Draw(t, label),
			Extra: rapid.MapOf(text, rapid.Map(rapid.SliceOf(text), func(s []string) authnv1.ExtraValue { return s })).Draw(t, label),
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		at := metav1.NewMicroTime(time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(rt, "time")))
		e := auditv1.Event{
			Level: auditv1.Level(text.Draw(rt, "level")), AuditID: types.UID("x" + text.Draw(rt, "auditID")),
			Stage:      rapid.SampledFrom([]auditv1.Stage{StageRequestReceived, StageResponseStarted, StageResponseComplete, StagePanic}).Draw(rt, "stage"),
			RequestURI: text.Draw(rt, "uri"), Verb: text.Draw(rt, "verb"), User: user(rt, "user"), UserAgent: text.Draw(rt, "agent"),
			SourceIPs: rapid.SliceOf(text).Draw(rt, "ips"), StageTimestamp: at, RequestReceivedTimestamp: at,
			Annotations: rapid.MapOf(text, text).Draw(rt, "annotations"),
		}
		if rapid.Bool().Draw(rt, "impersonated") {
			u := user(rt, "impersonated")
			e.ImpersonatedUser = &u
		}
		if rapid.Bool().Draw(rt, "object") {
			e.ObjectRef = &auditv1.ObjectReference{Resource: text.Draw(rt, "resource"), Namespace: text.Draw(rt, "namespace"), Name: text.Draw(rt, "name")}
		}
		if rapid.Bool().Draw(rt, "response") {
			e.ResponseStatus = &metav1.Status{Code: rapid.Int32().Draw(rt, "code"), Message: text.Draw(rt, "message"), Details: &metav1.StatusDetails{RetryAfterSeconds: 1}}
		}
		if rapid.Bool().Draw(rt, "body") {
			raw, err := json.Marshal(map[string]any{"a": text.Draw(rt, "a"), "b": rapid.Float64Range(-1e300, 1e300).Draw(rt, "b"), "c": []any{nil, true}})
			if err != nil {
				rt.Fatal(err)
			}
			e.RequestObject = &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}
		}
		item, err := json.Marshal(e)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := p.Parse(item)
		if err != nil {
			rt.Fatalf("%v: %s", err, item)
		}
		if diff := cmp.Diff(expected(t, item), flatten(got), comparePlain); diff != "" {
			rt.Fatalf("%s (-want +got):\n%s", item, diff)
		}
	})
}
