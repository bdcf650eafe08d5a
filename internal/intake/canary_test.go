package intake

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const canary = "hunter2-c4n4ry"

// canaries are bodies that hold a credential each, in all places where one can
// stand.
func canaries() map[string]string {
	const ref = `"objectRef":{"resource":"secrets","namespace":"d","name":"db","apiVersion":"v1"}`
	secret := `{"kind":"Secret","metadata":{"name":"db","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"p\":\"` +
		canary + `\"}}"}},"data":{"p":"` + canary + `"},"stringData":{"q":"` + canary + `"}}`
	whole := event("a", ref, `"requestObject":`+secret)
	long := strings.Repeat("x", 2<<20)
	return map[string]string{
		"data and stringData":       list(event("a", ref, `"requestObject":`+secret, `"responseObject":`+secret)),
		"patch":                     list(event("a", ref, `"verb":"patch"`, `"requestObject":{"data":{"p":"`+canary+`"}}`)),
		"JSON patch":                list(event("a", ref, `"verb":"patch"`, `"requestObject":[{"op":"replace","path":"/data/p","value":"`+canary+`"}]`)),
		"list":                      list(event("a", ref, `"responseObject":{"kind":"SecretList","items":[`+secret+`]}`)),
		"table":                     list(event("a", ref, `"responseObject":{"kind":"Table","rows":[{"cells":["`+canary+`"],"object":`+secret+`}]}`)),
		"token request":             list(event("a", `"objectRef":{"resource":"serviceaccounts","subresource":"token"}`, `"responseObject":{"status":{"token":"`+canary+`"}}`)),
		"token review":              list(event("a", `"objectRef":{"resource":"tokenreviews"}`, `"requestObject":{"spec":{"token":"`+canary+`"}}`)),
		"query":                     list(event("a", `"requestURI":"/api?access_token=`+canary+`"`)),
		"error message":             list(event("a", ref, `"responseStatus":{"code":422,"message":"map[p:`+canary+`]","details":{"causes":[{"message":"`+canary+`"}]}}`)),
		"webhook's patch":           list(event("a", ref, `"annotations":{"patch.webhook.admission.k8s.io/round_0_index_0":"`+canary+`"}`)),
		"large":                     list(event("a", ref, `"requestObject":{"data":"`+canary+long+canary+`"}`)),
		"large, not an event":       list(`{"requestObject":{"data":"`+canary+long+canary+`"}}`, `["`+canary+long+`"]`),
		"deep":                      list(event("a", ref, `"requestObject":{"`+canary+`":`+strings.Repeat("[", 300)+`"`+canary+`"`+strings.Repeat("]", 300)+`}`)),
		"of the wrong type":         list(event("a", ref, `"user":5`, `"requestObject":`+secret)),
		"broken item":               list(`{"data":{"p":"`+canary+`","q":nope,"`+canary+`":"x"}}`, canary, `"`+canary+`"`),
		"broken quotes":             list(`{"data":{"p":"x\"` + canary + `"` + canary + `"}}`),
		"broken from the beginning": canary + list(whole),
		"no JSON":                   canary,
		"cut in the middle":         list(whole)[:strings.Index(list(whole), canary)+len(canary)+5],
		"cut behind the value":      list(whole)[:strings.Index(list(whole), canary)+len(canary)],
		"wrong kind":                `{"kind":"Secret","data":{"p":"` + canary + `"}}`,
		"behind the list":           list() + canary,
		"unknown member":            list(event("a", ref, `"newObject":"`+canary+`"`)),
	}
}

func TestNoCredentialIsStored(t *testing.T) {
	for name, body := range canaries() {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(body, canary) {
				t.Fatal("there is no credential in this body")
			}
			s := newMemorySpool()
			r := run(t, s)
			c := r.client(r.clients, apiServer1)
			resp, text, err := r.post(c, path1, strings.NewReader(body))
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			c.CloseIdleConnections()
			r.stop()
			for _, c := range s.chunks {
				if strings.Contains(string(c.Data), canary) {
					t.Errorf("in a chunk: %s", c.Data)
				}
			}
			for key, value := range s.docs {
				if strings.Contains(key+string(value), canary) {
					t.Errorf("in quarantine: %s", value)
				}
			}
			if strings.Contains(r.log.String()+text, canary) {
				t.Errorf("in the log or the answer: %s %s", r.log.String(), text)
			}
			if got := s.content(t); len(got.Items)+got.Quarantined == 0 {
				t.Error("nothing arrived")
			}
		})
	}
}

// The installer can choose to keep bodies, and nothing else.
func TestBodiesAreKeptOnRequest(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	r.handler.Configure(account, true, "")
	const ref = `"objectRef":{"resource":"secrets"}`
	body := event("a", ref, `"requestObject":{"data":{"p":"x"}}`)
	r.send(list(body, event("b", ref, `"requestURI":"/a?token=`+canary+`"`)), 200)
	want := []string{body, event("b", ref, `"requestURI":"/a?token=<sensitiveDataRemoved>"`)}
	if diff := cmp.Diff(want, s.content(t).Items); diff != "" {
		t.Fatal(diff)
	}
}
