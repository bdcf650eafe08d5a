package auditevent

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
)

// benchItem is an event at level Metadata of about 1.25 KB, as a busy cluster
// sends most, or with a body one of about 6 KB.
func benchItem(n, body int) string {
	id := uuid.NewString()
	object := ""
	if body > 0 {
		object = `"requestObject":{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"containers":[` +
			strings.TrimSuffix(strings.Repeat(`{"name":"sidecar","image":"registry.example/app:v1","env":[{"name":"A","value":"b"}],"ports":[{"containerPort":8080}]},`, body/110), ",") + `]}},`
	}
	return fmt.Sprintf(`{"level":"Metadata","auditID":"%s","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/team-%d/deployments/web-%d?fieldManager=kubectl-client-side-apply\u0026fieldValidation=Strict",`+
		`"verb":"patch","user":{"username":"system:serviceaccount:team-%d:deployer","uid":"%s","groups":["system:serviceaccounts","system:serviceaccounts:team-%d","system:authenticated"],`+
		`"extra":{"authentication.kubernetes.io/credential-id":["JTI=%s"],"authentication.kubernetes.io/node-name":["node-%d"],"authentication.kubernetes.io/node-uid":["%s"],"authentication.kubernetes.io/pod-name":["deployer-%d"],"authentication.kubernetes.io/pod-uid":["%s"]}},`+
		`"sourceIPs":["10.12.%d.%d"],"userAgent":"kubectl/v1.36.3 (linux/amd64) kubernetes/0000000","objectRef":{"resource":"deployments","namespace":"team-%d","name":"web-%d","apiGroup":"apps","apiVersion":"v1"},`+
		`"responseStatus":{"metadata":{},"code":200},%s"requestReceivedTimestamp":"2026-11-21T03:39:02.%06dZ","stageTimestamp":"2026-11-21T03:39:02.%06dZ","annotations":{"authorization.k8s.io/decision":"allow",`+
		`"authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"deployer/team-%d\" of Role \"deployer\" to ServiceAccount \"deployer/team-%d\""}}`,
		id, n%50, n, n%50, uuid.NewString(), n%50, uuid.NewString(), n%100, uuid.NewString(), n, uuid.NewString(), n%200, n%250, n%50, n,
		object, n%1000000, (n+500)%1000000, n%50, n%50)
}

func benchBody(items, body int) []byte {
	var list []string
	for i := range items {
		list = append(list, benchItem(i, body))
	}
	return []byte(listHead + strings.Join(list, ",") + listTail)
}

// storing does what intake does with an item.
type storing struct{ data []byte }

func (s *storing) Item(it *Item) error {
	if it.Event.MakesRecord() {
		s.data = it.Event.AppendStored(s.data, false)
	}
	return nil
}

func (s *storing) Cut([sha256.Size]byte) error { s.data = s.data[:0]; return nil }

// cpuTime is what the process has used, which a busy machine changes less than
// the time on the wall.
func cpuTime() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Utime.Nano() + r.Stime.Nano())
}

func perEvent(b *testing.B, events, bytes int, cpu float64) {
	b.SetBytes(int64(bytes))
	b.ReportMetric(cpu/float64(b.N)/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(bytes)/float64(events), "B/event")
}

// BenchmarkIntake is all that intake does but for TLS and the spool: find the
// items, read them, remove credentials, hash the body.
func BenchmarkIntake(b *testing.B) {
	for _, c := range []struct {
		name string
		body int
	}{{"Metadata", 0}, {"Request", 4800}} {
		b.Run(c.name, func(b *testing.B) {
			body := benchBody(400, c.body)
			var s Splitter
			var v storing
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				if err := s.Split("c/a", bytes.NewReader(body), &v); err != nil {
					b.Fatal(err)
				}
			}
			perEvent(b, 400, len(body), cpuTime()-start)
		})
	}
}

// BenchmarkParse is what reading the spool costs.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name string
		body int
	}{{"Metadata", 0}, {"Request", 4800}} {
		b.Run(c.name, func(b *testing.B) {
			item := []byte(benchItem(1, c.body))
			var p Parser
			b.SetBytes(int64(len(item)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Parse(item); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	var p Parser
	e, err := p.Parse([]byte(benchItem(1, 0)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Key("cluster")
	}
}

// BenchmarkReduce is the largest POST that was ever seen, in small.
func BenchmarkReduce(b *testing.B) {
	body := []byte(list(numbered(1, 1800000), numbered(2, 1800000), numbered(3, 1800000)))
	var s Splitter
	var v storing
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Split("c/a", bytes.NewReader(body), &v); err != nil {
			b.Fatal(err)
		}
	}
}
