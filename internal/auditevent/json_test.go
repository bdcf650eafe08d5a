package auditevent

import (
	"testing"

	"github.com/valyala/fastjson"
)

// TestJSONText: what is read without decoding is what decoding gives.
func TestJSONText(t *testing.T) {
	for raw, want := range map[string][2]string{ // Text, First
		`{"a":"b"}`:                {"b", ""},
		`{"a":["b","c"]}`:          {"", "b"},
		`{"x":{"a":"no"},"a":"b"}`: {"b", ""},
		`{"\u0061":"b"}`:           {"b", ""},
		`{"x\n":1,"a" : [ "b" ]}`:  {"", "b"},
		`{"a":"\u0062\n"}`:         {"b\n", ""},
		`{"a":["\u0062"]}`:         {"", "b"},
		`{"a":"b","a":"c"}`:        {"b", ""},
		`{"a":{"0":"b"}}`:          {"", ""},
		`{"\n":1,"a":{"0":"b"}}`:   {"", ""},
		`{"\n":1,"a":[]}`:          {"", ""},
		`{"\n":1}`:                 {"", ""},
		`{"a":[["b"]]}`:            {"", ""},
		`{"a":[]}`:                 {"", ""},
		`{"a":1}`:                  {"", ""},
		`{}`:                       {"", ""},
		`["a"]`:                    {"", ""},
		`"a"`:                      {"", ""},
	} {
		j := JSON{raw: []byte(raw), parser: &fastjson.Parser{}}
		if got := [2]string{j.Text("a"), j.First("a")}; got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
		if o := j.Value().GetObject(); j.HasMembers() != (o != nil && o.Len() > 0) {
			t.Errorf("%s: HasMembers is %v", raw, j.HasMembers())
		}
	}
	var none JSON
	if none.Raw() != nil || none.Value() != nil || none.Text("a") != "" || none.HasMembers() {
		t.Error("nothing is something")
	}
}

// TestMembers: every member is where Span says, and Only is strict.
func TestMembers(t *testing.T) {
	raw := `{ "a":["b"] , "c" : [ "d" ],"e":["f","g"],"h":[],"i":"j","k":["\u006c"],"m\n":["o"],"p":[1],"q":[["r"]]}`
	want := map[string]string{"a": "b", "c": "d", `m\n`: "o"}
	j := JSON{raw: []byte(raw)}
	n := 0
	for m := j.Members(); m.Next(); n++ {
		name, escaped := m.Name()
		if escaped != (name == `m\n`) {
			t.Errorf("%s: escaped is %v", name, escaped)
		}
		only, ok := m.Only()
		if w, wanted := want[name]; ok != wanted || ok && only != w {
			t.Errorf("%s: Only is %q, %v", name, only, ok)
		}
		start, end := m.Span()
		if pair := "{" + raw[start:end] + "}"; fastjson.Validate(pair) != nil {
			t.Errorf("%s spans %s", name, pair)
		}
	}
	if n != 9 {
		t.Errorf("%d members", n)
	}
	for _, raw := range []string{"", `{}`, `{ }`, `[]`, `"a"`} {
		j := JSON{raw: []byte(raw)}
		if raw == "" {
			j.raw = nil
		}
		if m := j.Members(); m.Next() {
			t.Errorf("%s has a member", raw)
		}
	}
}
