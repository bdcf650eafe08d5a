package mapping

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fastjson"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// checkPlain compares appendPlain with the redactor, which decodes.
func checkPlain(t *testing.T, body string) bool {
	t.Helper()
	out, ok := appendPlain([]byte("before"), []byte(body), nil)
	if !ok {
		if string(out) != "before" {
			t.Fatalf("%s: gave up and left %s", body, out)
		}
		return false
	}
	v, err := fastjson.Parse(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if want := string(appendBody([]byte("before"), v, policyOpen)); string(out) != want {
		t.Fatalf("%s:\ngot  %s\nwant %s", body, out, want)
	}
	return true
}

func TestAppendPlain(t *testing.T) {
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
	for body, plain := range map[string]bool{
		`{}`: true, `[]`: true, `[1,-2.5e3,true,false,null,"a",{"b":[{}]}]`: true,
		" {\n\t\"a\" : [ 1 , 2 ] ,\r\n \"b c\" : \" d \" } ":                true,
		`{"a":"b \"c\" \\ \n\r\t d"}`:                                       true,
		`{"kind":"Deployment","spec":{"path":"/x","kind":["Secret"]}}`:      false,
		`{"kind":"Deployment","spec":{"path":"/x","op":"add"}}`:             true,
		`{"a":"kind","b":"Secret"}`:                                         true,
		`{"data":{"kind":"SecretStore"}}`:                                   true,
		`{"x":[{"kind":"Secret","data":{"p":"cw=="}}]}`:                     false,
		`{"x":[{"kind" : "Secret"}]}`:                                       false,
		`{"data":{"p":"cw=="},"kind":"Secret"}`:                             false,
		`{"kind":"TokenRequest"}`:                                           false,
		`{"kind":"TokenReview"}`:                                            false,
		`{"k\u0069nd":"Secret"}`:                                            false,
		`{"kind":"Secr\u0065t"}`:                                            false,
		`{"k\"":1}`:                                                         false,
		`{"` + lastApplied + `":"{}"}`:                                      false,
		`[{"op":"add","path":"/a/` + lastAppliedPointer + `","value":"x"}]`: false,
		`{"a":"` + jwt + `"}`:                                               false,
		`["Bearer ` + jwt + `"]`:                                            false,
		`{"token":"abcdef.0123456789abcdef"}`:                               false,
		`{"a":"ü"}`:                                                         false, `{"a":"\u2028"}`: false, `{"a":"\/"}`: false, `{"a":"` + "1234567\xff" + `"}`: false,
		`{"long":"` + strings.Repeat("x", 1000) + `\n` + strings.Repeat("y", 13) + `"}`: true,
	} {
		if got := checkPlain(t, body); got != plain {
			t.Errorf("%s: plain is %v", body, got)
		}
	}
}

// TestAppendPlainOnEvents: it must be of use, and agree, where it counts.
func TestAppendPlainOnEvents(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	plain := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p auditevent.Parser
		e, err := p.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{e.RequestObject.Raw(), e.ResponseObject.Raw()} {
			if b != nil && checkPlain(t, string(b)) {
				plain++
			}
		}
	}
	if plain < 10 {
		t.Errorf("only %d bodies of the golden events are plain", plain)
	}
}

// FuzzAppendPlain: the short way and the redactor agree on every body that
// intake lets through.
func FuzzAppendPlain(f *testing.F) {
	for _, s := range []string{
		`{"kind":"Secret","data":{"a":"b"}}`, `{"a":"\"\\","path":"x"} `, `[{"op":"add","path":"/metadata","value":{"kind" : "TokenReview"}}]`,
		`{"a":"eyJ.a.b","b":"Bearer eyJ.a.b","c":"abcdef.0123456789abcdef"}`, "{\"a\":\"\xff\",\"b\":\"\u2028\u00fc\"}", `[1e5,-0,"\u0041"]`,
	} {
		f.Add([]byte(s))
	}
	var p auditevent.Parser
	f.Fuzz(func(t *testing.T, body []byte) {
		item := append([]byte(`{"auditID":"a","stage":"Panic","stageTimestamp":"2026-11-21T03:39:02Z","requestObject":`), body...)
		e, err := p.Parse(append(item, '}'))
		if err != nil || e.RequestObject.Raw() == nil {
			return
		}
		if e.RequestObject.Value() == nil {
			t.Fatalf("cannot be decoded: %s", e.RequestObject.Raw())
		}
		checkPlain(t, string(e.RequestObject.Raw()))
	})
}
