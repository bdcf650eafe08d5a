package auditevent

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func stored(t *testing.T, item string, keep bool) string {
	t.Helper()
	var p Parser
	e, err := p.Parse([]byte(item))
	if err != nil {
		t.Fatal(err)
	}
	out := e.AppendStored([]byte("before"), keep)
	if string(out[:6]) != "before" {
		t.Fatalf("dst was changed: %q", out)
	}
	key := e.Key("c")
	uri := e.RequestURI
	again, err := p.Parse(out[6:])
	if err != nil || !json.Valid(out[6:]) || !utf8.Valid(out) {
		t.Fatalf("%v: %q", err, out[6:])
	}
	if again.RequestURI == uri && again.Key("c") != key {
		t.Error("the event has another key after redaction")
	}
	return string(out[6:])
}

func with(members string) string { return minimal[:len(minimal)-1] + "," + members + "}" }

const canary = "hunter2-c4n4ry"

// In what place soever a credential stands, it is not stored.
func TestRedactRemovesCredentials(t *testing.T) {
	const secrets = `"objectRef":{"resource":"secrets","namespace":"d","name":"db","apiVersion":"v1"}`
	metadata := `"metadata":{"name":"db","namespace":"d","uid":"u","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":\"` +
		canary + `\"}"},"managedFields":[{"a":"` + canary + `"}]}`
	secret := `{"kind":"Secret",` + metadata + `,"data":{"p":"` + canary + `"},"stringData":{"p":"` + canary + `"}}`
	for name, members := range map[string]string{
		"create":          secrets + `,"requestObject":` + secret + `,"responseObject":` + secret,
		"object last":     `"requestObject":` + secret + `,` + secrets,
		"list":            `"objectRef":{"resource":"secrets"},"responseObject":{"kind":"SecretList","metadata":{},"items":[` + secret + `]}`,
		"table":           secrets + `,"responseObject":{"kind":"Table","metadata":{},"rows":[{"cells":["` + canary + `"],"object":` + secret + `}]}`,
		"merge patch":     secrets + `,"verb":"patch","requestObject":{"data":{"p":"` + canary + `"}}`,
		"json patch":      secrets + `,"requestObject":[{"op":"replace","path":"/data/p","value":"` + canary + `"}]`,
		"string":          secrets + `,"requestObject":"` + canary + `"`,
		"escaped members": secrets + `,"requestObject":{"m\u0065tadata":{"name":"` + canary + `"},"metadata":{"n\u0061me":"` + canary + `"}}`,
		"metadata types":  secrets + `,"requestObject":{"metadata":{"name":{"x":"` + canary + `"},"uid":["` + canary + `"]}}`,
		"metadata long":   secrets + `,"requestObject":{"metadata":{"name":"` + strings.Repeat("x", maxIdentity) + canary + `"}}`,
		"other group":     `"objectRef":{"resource":"secrets","apiGroup":"x.io"},"requestObject":{"data":"` + canary + `"}`,
		"unknown member":  secrets + `,"newObject":{"data":"` + canary + `"}`,
		"invalid patch": secrets + `,"responseStatus":{"status":"Failure","message":"patch: Invalid value: \"map[data:map[p:` + canary +
			`]]\"","reason":"Invalid","details":{"causes":[{"message":"` + canary + `"}]},"code":422}`,
		"bad request": secrets + `,"responseStatus":{"message":"` + canary + `","code":400}`,
		"panic":       secrets + `,"responseStatus":{"message":"` + canary + `","code":500}`,
		"webhook's patch": secrets + `,"annotations":{"a":"b","patch.webhook.admission.k8s.io/round_0_index_0":"` + canary +
			`","p\u0061tch.webhook.admission.k8s.io/round_0_index_1":"` + canary + `"}`,
		"token request":    `"objectRef":{"resource":"serviceaccounts","subresource":"token"},"responseObject":{"kind":"TokenRequest","status":{"token":"` + canary + `"}}`,
		"token review":     `"objectRef":{"resource":"tokenreviews","apiGroup":"authentication.k8s.io"},"requestObject":{"spec":{"token":"` + canary + `"}}`,
		"oauth":            `"objectRef":{"resource":"oauthclients","apiGroup":"oauth.openshift.io"},"requestObject":{"secret":"` + canary + `"}`,
		"query":            `"requestURI":"/api?watch=true\u0026token=` + canary + `\u0026a=b"`,
		"query first":      `"requestURI":"/api?access_token=` + canary + `"`,
		"query escaped":    `"requestURI":"/api?Acc%65ss_%54oken=` + canary + `\u0026\"\\"`,
		"query of a proxy": `"requestURI":"/api/v1/nodes/n/proxy/x?X-Amz-Signature=` + canary + `;sig=` + canary + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := stored(t, with(members), false); strings.Contains(got, canary) {
				t.Errorf("stored: %s", got)
			}
		})
	}
}

func TestRedactGolden(t *testing.T) {
	const ref = `"objectRef":{"resource":"secrets","namespace":"d","name":"db"}`
	for name, c := range map[string]struct {
		in, want string
		keep     bool
	}{
		"others as they are": {in: ` "x" : [1, 2],"requestURI":"/a?limit=5\u0026continue=tok"`, want: ` "x" : [1, 2],"requestURI":"/a?limit=5\u0026continue=tok"`},
		"body": {
			in:   ref + `,"requestObject":{"kind":"Secret","metadata":{"uid":"u","name":"db","labels":{}},"data":{}},"verb":"create"`,
			want: ref + `,"requestObject":{"metadata":{"name":"db","uid":"u"},"redacted":"<sensitiveDataRemoved>"},"verb":"create"`,
		},
		"body without identity": {
			in:   ref + `,"requestObject":[{"op":"remove"}],"responseObject":null`,
			want: ref + `,"requestObject":{"redacted":"<sensitiveDataRemoved>"},"responseObject":null`,
		},
		"kept body": {
			in:   ref + `,"requestObject":{"data":{"p":"x"}},"annotations":{"patch.webhook.admission.k8s.io/round_0_index_0":"x","a":"b"}`,
			want: ref + `,"requestObject":{"data":{"p":"x"}},"annotations":{"a":"b"}`,
			keep: true,
		},
		"forbidden": {
			in:   ref + `,"responseStatus":{"metadata":{},"status":"Failure","message":"secrets \"db\" is forbidden","reason":"Forbidden","code":403}`,
			want: ref + `,"responseStatus":{"metadata":{},"status":"Failure","message":"secrets \"db\" is forbidden","reason":"Forbidden","code":403}`,
		},
		"invalid": {
			in:   ref + `,"responseStatus":{"metadata":{},"status":"Failure","message":"x","reason":"Invalid","details":{},"code":422}`,
			want: ref + `,"responseStatus":{"metadata":{},"status":"Failure","reason":"Invalid","message":"<sensitiveDataRemoved>","code":422}`,
		},
		"requestURI": {
			in:   `"requestURI":"/a\"?a=b\u0026token=t\u0026token=\u0026id_token=u#f"`,
			want: `"requestURI":"/a\"?a=b&token=<sensitiveDataRemoved>&token=&id_token=<sensitiveDataRemoved>"`,
		},
		"UTF-8": {in: "\"requestObject\":{\"a\":\"é\xff\xc3\"}", want: "\"requestObject\":{\"a\":\"é\uFFFD\"}"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(with(c.want), stored(t, with(c.in), c.keep)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRedactKeepsRecordedEvents(t *testing.T) {
	var p Parser
	for name, items := range recorded(t) {
		for i, item := range items {
			e, err := p.Parse(item)
			if err != nil {
				t.Fatal(err)
			}
			got := string(e.AppendStored(nil, false))
			if !e.sensitive() && got != string(item) {
				t.Errorf("%s item %d was changed:\n%s\n%s", name, i, item, got)
			}
			for _, secret := range []string{"aHVudGVyMg", "eyJhbGciOi"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s item %d still holds a credential", name, i)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, items := range recorded(f) {
		f.Add(string(items[0]))
	}
	f.Add(with("\"requestObject\":{\"a\":\"\xff\"},\"requestURI\":\"/a?token=x\""))
	f.Add(with(`"objectRef":{"resource":"secrets"},"requestObject":{"metadata":{"name":"a"}},"annotations":{"a":"b"},"x":1`))
	f.Add(with(`"user":{"extra":{"a":["\ud83d\ude00"]}},"sourceIPs":["::1"],"responseStatus":{"code":-0}`))
	f.Fuzz(func(t *testing.T, item string) {
		var p Parser
		e, err := p.Parse([]byte(item))
		if err != nil {
			return
		}
		if !json.Valid([]byte(item)) {
			t.Fatal("accepted what is not JSON")
		}
		for _, keep := range []bool{false, true} {
			once := stored(t, item, keep)
			if twice := stored(t, once, keep); twice != once && strings.Count(once, "redacted") == 0 {
				t.Fatalf("redaction is not stable:\n%s\n%s", once, twice)
			}
		}
		e.MakesRecord()
	})
}
