package testenv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Events writes EventLists of unique events, as an API server posts them: with
// random IDs, names and addresses, so that they do not compress better than
// real ones.
type Events struct {
	rand *rand.Rand
	n    int
	// Namespace of the events; empty means one of twenty.
	Namespace string
	// Body is the size of requestObject in bytes; 0 for events at level Metadata.
	Body int
	body string
}

// NewEvents returns a generator; the same seed gives the same events.
func NewEvents(seed uint64) *Events { return &Events{rand: rand.New(rand.NewPCG(seed, 1))} }

// Made is how many events there have been.
func (g *Events) Made() int { return g.n }

// ID is the auditID of the n-th event, from 0.
func (g *Events) ID(n int) string { return fmt.Sprintf("ev-%012d", n) }

// List appends an EventList of n events to dst.
func (g *Events) List(dst []byte, n int) []byte {
	dst = append(dst, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = g.event(dst)
	}
	return append(dst, "]}\n"...)
}

var (
	verbs     = []string{"get", "list", "update", "patch", "create", "delete"}
	resources = []string{"configmaps", "pods", "services", "endpoints", "persistentvolumeclaims"}
)

func (g *Events) event(dst []byte) []byte {
	r := g.rand
	namespace := g.Namespace
	if namespace == "" {
		namespace = fmt.Sprintf("team-%02d", r.IntN(20))
	}
	resource, verb := resources[r.IntN(len(resources))], verbs[r.IntN(len(verbs))]
	name := fmt.Sprintf("app-%08x-%05x", r.Uint32(), r.Uint32()&0xfffff)
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).Add(time.Duration(g.n) * 137 * time.Microsecond)
	level, object := "Metadata", ""
	if g.Body > 0 {
		level, object = "Request", fmt.Sprintf(`"requestObject":{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":%q,"namespace":%q,"uid":"%s"},"spec":%s},`,
			name, namespace, g.uuid(), g.spec())
	}
	pod := fmt.Sprintf("controller-%08x-%05x", r.Uint32(), r.Uint32()&0xfffff)
	dst = fmt.Appendf(dst, `{"level":%q,"auditID":%q,"stage":"ResponseComplete","requestURI":"/api/v1/namespaces/%s/%s/%s?timeout=%ds","verb":%q,`+
		`"user":{"username":"system:serviceaccount:%s:deployer","uid":"%s","groups":["system:serviceaccounts","system:serviceaccounts:%s","system:authenticated"],`+
		`"extra":{"authentication.kubernetes.io/credential-id":["JTI=%s"],"authentication.kubernetes.io/node-name":["node-%03d"],"authentication.kubernetes.io/node-uid":["%s"],`+
		`"authentication.kubernetes.io/pod-name":[%q],"authentication.kubernetes.io/pod-uid":["%s"]}},`+
		`"sourceIPs":["10.%d.%d.%d"],"userAgent":"deployer/v1.%d.%d (linux/amd64) kubernetes/%08x",`+
		`"objectRef":{"resource":%q,"namespace":%q,"name":%q,"uid":"%s","apiVersion":"v1","resourceVersion":"%d"},"responseStatus":{"metadata":{},"code":200},%s`+
		`"requestReceivedTimestamp":%q,"stageTimestamp":%q,"annotations":{"authorization.k8s.io/decision":"allow",`+
		`"authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"deployers/%s\" of Role \"deployer\" to ServiceAccount \"deployer/%s\""}}`,
		level, g.ID(g.n), namespace, resource, name, r.IntN(60), verb,
		namespace, g.uuid(), namespace, g.uuid(), r.IntN(500), g.uuid(), pod, g.uuid(),
		r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(40), r.IntN(10), r.Uint32(),
		resource, namespace, name, g.uuid(), r.Uint32(), object,
		at.Format("2006-01-02T15:04:05.000000Z"), at.Add(time.Duration(r.IntN(20000))*time.Microsecond).Format("2006-01-02T15:04:05.000000Z"),
		namespace, namespace)
	g.n++
	return dst
}

func (g *Events) uuid() string {
	a, b := g.rand.Uint64(), g.rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffffffffffff)
}

// spec is an object of about Body bytes with some text that differs each time.
func (g *Events) spec() string {
	if g.body == "" {
		var b strings.Builder
		for i := 0; b.Len() < g.Body-80; i++ {
			fmt.Fprintf(&b, `{"name":"SETTING_%03d","valueFrom":{"configMapKeyRef":{"name":"settings","key":"k%d"}}},`, i, i)
		}
		g.body = b.String()
	}
	return fmt.Sprintf(`{"replicas":%d,"revision":"%s","env":[%s{"name":"LAST"}]}`, g.rand.IntN(50), g.uuid(), g.body)
}
