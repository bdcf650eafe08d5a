package tail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// metadataEvents are n lines such as kube-apiserver writes at level Metadata.
func metadataEvents(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		id := fmt.Sprintf("%08x-5c39-4f7a-8b1e-%012x", i*2654435761%(1<<32), i*40503)
		fmt.Fprintf(&b, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%s","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/team-%02d/configmaps/app-%s?timeout=10s","verb":"update",`+
			`"user":{"username":"system:serviceaccount:team-%02d:deployer","uid":"%s","groups":["system:serviceaccounts","system:serviceaccounts:team-01","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["JTI=%s"],"authentication.kubernetes.io/node-name":["node-001"],"authentication.kubernetes.io/node-uid":["%s"],"authentication.kubernetes.io/pod-name":["controller-%s"],"authentication.kubernetes.io/pod-uid":["%s"]}},`+
			`"sourceIPs":["10.0.%d.%d"],"userAgent":"deployer/v1.2.3 (linux/amd64) kubernetes/%s","objectRef":{"resource":"configmaps","namespace":"team-%02d","name":"app-%s","uid":"%s","apiVersion":"v1","resourceVersion":"%d"},"responseStatus":{"metadata":{},"code":200},`+
			`"requestReceivedTimestamp":"2026-11-21T10:00:00.%06dZ","stageTimestamp":"2026-11-21T10:00:00.%06dZ","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"deployers/team\" of Role \"deployer\" to ServiceAccount \"deployer/team\""}}`+"\n",
			id, i%20, id, i%20, id, id, id, id, id, i>>8&255, i&255, id, i%20, id, id, i, i%1e6, i%1e6)
	}
	return b.Bytes()
}

// cpuTime is what this process has used: wall-clock time says nothing on a
// machine that has other work.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkLines finds the lines of a batch and makes a list of them.
func BenchmarkLines(b *testing.B) {
	data := metadataEvents(800)
	var list []byte
	begin := cpuTime(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s := next(data, false)
		if s.lines != 800 {
			b.Fatal(s)
		}
		list = appendList(list[:0], data[s.blank:s.end])
	}
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/800, "cpu-ns/event")
}

// BenchmarkTail reads a log to its end, with a durable state for each POST, and
// without a network.
func BenchmarkTail(b *testing.B) {
	const events = 50_000
	logs, states := b.TempDir(), b.TempDir()
	data := metadataEvents(events)
	if err := os.WriteFile(filepath.Join(logs, "audit.log"), data, 0o600); err != nil {
		b.Fatal(err)
	}
	in := newInbox(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	n, begin := 0, cpuTime(b)
	for b.Loop() {
		n++
		p := newPlace(logs, filepath.Join(states, fmt.Sprint(n)), in)
		if err := p.start(); err != nil {
			b.Fatal(err)
		}
		p.t.send = func(_ context.Context, _ string, _ int64, body body) answer {
			r, err := body.open()
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err != nil {
				b.Fatal(err)
			}
			return answer{code: http.StatusOK}
		}
		for {
			if idle, _, err := p.step(context.Background()); err != nil {
				b.Fatal(err)
			} else if idle {
				break
			}
		}
		if p.t.state.To != int64(len(data)) {
			b.Fatalf("read to %d of %d", p.t.state.To, len(data))
		}
		p.crash()
	}
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/events, "cpu-ns/event")
}
