package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

// The canary stands for a secret value. It is planted as text, in base64 and in
// hexadecimal, as kube-apiserver's errors have it.
const (
	canary       = "CANARY-s3cr3t"
	canaryBase64 = "Q0FOQVJZLXMzY3IzdA=="
	canaryHex    = "43414e4152592d733363723374"
	canaryJWT    = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJDQU5BUlkifQ.Q0FOQVJZLXMzY3IzdA"
	canaryPIN    = "90210.4711"
)

var canaries = []string{canary, canaryBase64[:16], canaryHex, canaryJWT[:20], canaryPIN, "canary.0123456789abcdef"}

// event makes an audit event from its parts; the defaults are a successful
// RequestResponse event.
func event(t testing.TB, parts map[string]any) []byte {
	t.Helper()
	e := map[string]any{
		"level": "RequestResponse", "auditID": "a", "stage": "ResponseComplete", "requestURI": "/", "verb": "create",
		"user":                     map[string]any{"username": "jane"},
		"sourceIPs":                []string{"192.0.2.1"},
		"responseStatus":           map[string]any{"code": 200},
		"requestReceivedTimestamp": "2026-11-21T03:39:02.606718Z", "stageTimestamp": "2026-11-21T03:39:02.607384Z",
	}
	for k, v := range parts {
		e[k] = v
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ref(group, resource, subresource string) map[string]any {
	return map[string]any{"apiGroup": group, "apiVersion": "v1", "resource": resource, "subresource": subresource, "namespace": "team", "name": "x"}
}

func mustNotLeak(t *testing.T, b []byte) {
	t.Helper()
	for _, c := range canaries {
		if i := bytes.Index(b, []byte(c)); i >= 0 {
			t.Errorf("%q leaks: …%s", c, b[max(0, i-200):min(len(b), i+40)])
		}
	}
}

// secretBodies are bodies that must be harmless where the call is about Secrets,
// whatever they look like.
var secretBodies = map[string]string{
	"secret":            `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x"},"data":{"p":"` + canaryBase64 + `"},"stringData":{"p":"` + canary + `"},"type":"Opaque"}`,
	"list":              `{"kind":"SecretList","apiVersion":"v1","items":[{"metadata":{"name":"x"},"data":{"p":"` + canaryBase64 + `"}}]}`,
	"table":             `{"kind":"Table","rows":[{"cells":["x","` + canary + `"],"object":{"metadata":{"name":"x"},"data":{"p":"` + canaryBase64 + `"}}}]}`,
	"merge patch":       `{"stringData":{"p":"` + canary + `","gone":null}}`,
	"patch of a list":   `{"data":["` + canary + `"]}`,
	"patch of a string": `{"data":"` + canary + `"}`,
	"strategic patch":   `{"$setElementOrder/x":["` + canary + `"],"data":{"$patch":"replace","p":"` + canaryBase64 + `"}}`,
	"other case":        `{"Data":{"p":"` + canary + `"},"STRINGDATA":{"p":"` + canary + `"}}`,
	"unknown field":     `{"spec":{"deep":[{"p":"` + canary + `"}]},"binaryData":{"p":"` + canaryBase64 + `"}}`,
	"number":            `{"stringData":{"pin":` + canaryPIN + `}}`,
	"nested values":     `{"data":{"p":{"q":["` + canary + `",` + canaryPIN + `]}}}`,
	"other kind":        `{"kind":"ConfigMap","apiVersion":"v1","data":{"p":"` + canary + `"}}`,
	"kind twice":        `{"kind":"Status","kind":"Secret","message":"` + canary + `","data":{"p":"` + canary + `"}}`,
	"type as object":    `{"type":{"p":"` + canary + `"},"immutable":["` + canary + `"]}`,
	"items as scalars":  `{"items":["` + canary + `"],"rows":"` + canary + `","object":"` + canary + `"}`,
	"json patch":        `[{"op":"replace","path":"/data/p","value":"` + canaryBase64 + `"},{"op":"test","path":"/stringData","value":{"p":"` + canary + `"}}]`,
	"json patch root":   `[{"op":"replace","path":"","value":{"kind":"Secret","data":{"p":"` + canaryBase64 + `"}}}]`,
	"json patch slash":  `[{"op":"add","path":"/","value":"` + canary + `"}]`,
	"json patch tricks": `[{"op":"add","path":"/metadata/x","path":"/data/p","value":"` + canary + `"},{"op":"add","path":"/data/p","path":"/metadata/x","value":"` + canary + `"},{"op":"add","path":"/metadatax","value":"` + canary + `"},{"op":"add","path":"/type","value":"x","extra":"` + canary + `"}]`,
	"json patch copies": `[{"op":"add","path":"/metadata/annotations","value":{"` + lastApplied + `":"{\"data\":{\"p\":\"` + canary + `\"}}"}},{"op":"add","path":"/metadata/annotations/` + lastAppliedPointer + `","value":"` + canary + `"}]`,
	"bare scalars":      `["` + canary + `"]`,
	"string":            `"` + canary + `"`,
	"number alone":      canaryPIN,
	"copies":            `{"metadata":{"annotations":{"` + lastApplied + `":"` + canary + `","kapp.k14s.io/original":"{\"p\":\"` + canary + `\"}","objectset.rio.cattle.io/applied":"` + strings.Repeat("H4sIAAAA", 40) + canary + `"}}}`,
	"escaped key":       `{"d\u0061ta":{"p":"` + canary + `"},"metadata":{"annotations":{"kubectl.kubernetes.io\/last-applied-configuration":"` + canary + `"}}}`,
}

// openBodies are bodies that must be harmless in any call.
var openBodies = map[string]string{
	"secret":             `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x","annotations":{"copy":"{` + canary + `}"}},"data":{"p":"` + canaryBase64 + `"},"stringData":"` + canary + `"}`,
	"list":               `{"kind":"List","items":[{"kind":"ConfigMap"},{"kind":"Secret","data":{"p":"` + canaryBase64 + `"}}]}`,
	"table":              `{"kind":"Table","rows":[{"cells":["x"],"object":{"kind":"Secret","data":{"p":"` + canaryBase64 + `"}}}]}`,
	"template":           `{"kind":"Object","spec":{"forProvider":{"manifest":{"apiVersion":"v1","kind":"Secret","Data":{"p":"` + canary + `"}}}}}`,
	"kind twice":         `{"kind":"Pod","data":{"p":"` + canary + `"},"kind":"Secret"}`,
	"last applied":       `{"kind":"List","items":[{"metadata":{"annotations":{"` + lastApplied + `":"{\"kind\":\"Secret\",\"data\":{\"p\":\"` + canary + `\"}}"}}}]}`,
	"last applied patch": `[{"op":"replace","path":"/metadata/annotations/` + lastAppliedPointer + `","value":"` + canary + `"}]`,
	"last applied deep":  `{"a":[{"b":{"` + lastApplied + `":{"x":["` + canary + `"]}}}]}`,
	"token request":      `{"kind":"TokenRequest","status":{"token":"` + canary + `"},"spec":{"token":"` + canary + `"}}`,
	"token review":       `{"items":[{"kind":"TokenReview","spec":{"token":"` + canary + `"}}]}`,
	"jwt":                `{"kind":"ConfigMap","data":{"kubeconfig-token":"` + canaryJWT + `","header":"Bearer ` + canaryJWT + `"}}`,
	"bootstrap token":    `{"kind":"ConfigMap","data":{"t":"canary.0123456789abcdef"}}`,
	"string":             `"kind: Secret\ndata: ` + canary + `"`,
}

// tokenBodies must be harmless in token requests and token reviews.
var tokenBodies = map[string]string{
	"request":  `{"kind":"TokenRequest","status":{"token":"` + canary + `","expirationTimestamp":"2026-11-21T04:39:03Z"}}`,
	"review":   `{"kind":"TokenReview","spec":{"token":"` + canary + `"}}`,
	"no kind":  `{"status":{"token":"` + canary + `"},"Token":["` + canary + `"]}`,
	"a string": `"` + canary + `"`,
}

// TestCanary plants the canary in every place an event has, as if intake had
// kept all bodies, and looks for it in the records.
func TestCanary(t *testing.T) {
	contexts := []struct {
		name   string
		ref    map[string]any
		bodies map[string]string
	}{
		{"secrets", ref("", "secrets", ""), secretBodies},
		{"secrets of an unknown subresource", ref("", "secrets", "status"), secretBodies},
		{"secrets of another group", ref("example.com", "secrets", ""), secretBodies},
		{"OpenShift's tokens", ref("oauth.openshift.io", "oauthaccesstokens", ""), secretBodies},
		{"token request", ref("", "serviceaccounts", "token"), tokenBodies},
		{"token review", ref("authentication.k8s.io", "tokenreviews", ""), tokenBodies},
		{"pods", ref("", "pods", ""), openBodies},
		{"custom resources", ref("example.com", "widgets", ""), openBodies},
		{"secrets with bodies of any kind", ref("", "secrets", ""), openBodies},
	}
	for _, c := range contexts {
		for name, body := range c.bodies {
			for _, verb := range []string{"create", "update", "patch", "get", "deletecollection"} {
				t.Run(fmt.Sprintf("%s/%s/%s", c.name, verb, name), func(t *testing.T) {
					parts := map[string]any{
						"verb": verb, "objectRef": c.ref, "responseObject": json.RawMessage(body),
						"requestURI": "/api/v1/x?token=" + canary + "&access_token=" + canary + "&X-Amz-Signature=" + canary +
							"&code=" + canary + ";Client-Secret=" + canary + "&next=" + canaryJWT + "&pass%77ord=" + canary + "&q=" + "canary.0123456789abcdef",
						"user": map[string]any{"username": "jane", "extra": map[string]any{
							"example.com/id-token": []string{canary}, "example.com/session": []string{canaryJWT},
						}},
						"impersonatedUser": map[string]any{"username": "joe", "extra": map[string]any{"PASSWORD": []string{canary}}},
					}
					if !strings.HasPrefix(verb, "delete") {
						parts["requestObject"] = json.RawMessage(body)
					}
					if c.ref["resource"] != "pods" && c.ref["resource"] != "widgets" {
						quoted, err := json.Marshal(`{"patch":[{"op":"add","path":"/x","value":"` + canary + `"}]}`)
						if err != nil {
							t.Fatal(err)
						}
						parts["annotations"] = map[string]json.RawMessage{"patch.webhook.admission.k8s.io/round_0_index_0": quoted}
						parts["responseStatus"] = map[string]any{"code": 400, "reason": "BadRequest", "message": "json parse error (" + canaryHex + ")"}
					}
					b, _ := mapped(t, event(t, parts))
					mustNotLeak(t, b)
					if !bytes.Contains(b, []byte(redactedJSON)) {
						t.Error("nothing was redacted")
					}
				})
			}
		}
	}
}

// TestAnnotationOfWebhook: the patch of a mutating webhook is a body too.
func TestAnnotationOfWebhook(t *testing.T) {
	for name, patch := range map[string]string{
		"last applied": `{"patch":[{"op":"add","path":"/metadata/annotations/` + lastAppliedPointer + `","value":"` + canary + `"}]}`,
		"secret":       `{"patch":[{"op":"add","path":"/items/0","value":{"kind":"Secret","data":{"p":"` + canary + `"}}}]}`,
		"unreadable":   `{"patch":[` + canary,
		"string":       `"` + canary + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := mapped(t, event(t, map[string]any{
				"objectRef": ref("", "pods", ""), "annotations": map[string]string{"patch.webhook.admission.k8s.io/round_0_index_0": patch},
			}))
			mustNotLeak(t, b)
		})
	}
}

// TestRedactionKeeps: what is no secret stays readable.
func TestRedactionKeeps(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		policy         policy
	}{
		{"keys and deletions", `{"data":{"user":"x","gone":null}}`, `{"data":{"user":"<sensitiveDataRemoved>","gone":null}}`, policySecret},
		{
			"metadata", `{"kind":"Secret","metadata":{"name":"x","labels":{"a":"b"},"generation":2},"type":"Opaque","immutable":true}`,
			`{"kind":"Secret","metadata":{"name":"x","labels":{"a":"b"},"generation":2},"type":"Opaque","immutable":true}`, policySecret,
		},
		{
			"patch of metadata", `[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"remove","path":"/data/p"}]`,
			`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"remove","path":"/data/p"}]`, policySecret,
		},
		{
			"status", `{"kind":"Status","status":"Failure","message":"no","reason":"NotFound","details":{"name":"x"},"code":404}`,
			`{"kind":"Status","status":"Failure","message":"no","reason":"NotFound","details":{"name":"x"},"code":404}`, policySecretAnswer,
		},
		{
			"status of an error that may quote", `{"kind":"Status","status":"Failure","message":"no","reason":"BadRequest","code":400}`,
			`{"kind":"Status","status":"Failure","message":"<sensitiveDataRemoved>","reason":"BadRequest","code":400}`, policySecretError,
		},
		{
			"references to secrets", `{"spec":{"certificateRefs":[{"kind":"Secret","name":"tls","namespace":"a"}]},"involvedObject":{"kind":"Secret","name":"x"}}`,
			`{"spec":{"certificateRefs":[{"kind":"Secret","name":"tls","namespace":"a"}]},"involvedObject":{"kind":"Secret","name":"x"}}`, policyOpen,
		},
		{
			"config map", `{"kind":"ConfigMap","data":{"a":"b","version":"v1.2.3","host":"abc.example.com"}}`,
			`{"kind":"ConfigMap","data":{"a":"b","version":"v1.2.3","host":"abc.example.com"}}`, policyOpen,
		},
		{
			"managed fields", `{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{".":{},"f:password":{}}}}]}}`,
			`{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{".":{},"f:password":{}}}}]}}`, policySecret,
		},
		{
			"token request", `{"kind":"TokenRequest","spec":{"audiences":["x"]},"status":{"token":"t","expirationTimestamp":"2026"}}`,
			`{"kind":"TokenRequest","spec":{"audiences":["x"]},"status":{"token":"<sensitiveDataRemoved>","expirationTimestamp":"2026"}}`, policyToken,
		},
		{
			"removed at intake", `{"metadata":{"name":"x"},"redacted":"<sensitiveDataRemoved>"}`,
			`{"metadata":{"name":"x"},"redacted":"<sensitiveDataRemoved>"}`, policyToken,
		},
		{
			"removed Secret", `{"metadata":{"name":"x"},"redacted":"<sensitiveDataRemoved>"}`,
			`{"metadata":{"name":"x"},"redacted":"<sensitiveDataRemoved>"}`, policySecret,
		},
		{"numbers", `[0,-1.5e+3,1e5,12345678901234567890]`, `[0,-1.5e+3,1e5,12345678901234567890]`, policyOpen},
		{"liberal numbers", `[nan,-inf,1e+-,--1]`, `["nan","-inf","1e+-","--1"]`, policyOpen},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := fastjson.Parse(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(appendBody(nil, v, c.policy)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
