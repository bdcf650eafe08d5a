package pebble

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// auditEvent is a Metadata event of about 1.25 KB, with IDs that do not compress.
func auditEvent(r *rand.Rand) []byte {
	id := func() string {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], r.Uint64())
		binary.LittleEndian.PutUint64(b[8:], r.Uint64())
		return uuid.UUID(b).String()
	}
	verb := []string{"get", "list", "update", "patch", "create"}[r.IntN(5)]
	resource := []string{"pods", "configmaps", "leases", "deployments", "secrets"}[r.IntN(5)]
	namespace, account, name := fmt.Sprintf("team-%d", r.IntN(60)), fmt.Sprintf("controller-%d", r.IntN(100)), "app-"+id()[:13]
	at := time.Unix(1790000000+r.Int64N(1000), r.Int64N(1e9)).UTC().Format("2006-01-02T15:04:05.000000Z")
	return fmt.Appendf(nil, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":%q,"stage":"ResponseComplete",`+
		`"requestURI":"/api/v1/namespaces/%[2]s/%[3]s/%[4]s?timeout=10s","verb":%[5]q,"user":{"username":"system:serviceaccount:%[2]s:%[6]s","uid":%[7]q,`+
		`"groups":["system:serviceaccounts","system:serviceaccounts:%[2]s","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["JTI=%[8]s"],`+
		`"authentication.kubernetes.io/node-name":["node-%[9]d"],"authentication.kubernetes.io/node-uid":[%[10]q],"authentication.kubernetes.io/pod-name":[%[4]q],`+
		`"authentication.kubernetes.io/pod-uid":[%[11]q]}},"sourceIPs":["10.%[12]d.%[13]d.7"],"userAgent":"app/v1.2.0 (linux/amd64) kubernetes/0a1b2c3",`+
		`"objectRef":{"resource":%[3]q,"namespace":%[2]q,"name":%[4]q,"apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},`+
		`"requestReceivedTimestamp":%[14]q,"stageTimestamp":%[14]q,"annotations":{"authorization.k8s.io/decision":"allow",`+
		`"authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"%[6]s/%[2]s\" of Role \"%[6]s\" to ServiceAccount \"%[6]s/%[2]s\""}}`,
		id(), namespace, resource, name, verb, account, id(), id(), r.IntN(300), id(), id(), r.IntN(255), r.IntN(255), at)
}

// auditChunk is a chunk of about the given size.
func auditChunk(seed uint64, size int) spool.Chunk {
	r := rand.New(rand.NewPCG(seed, 1))
	c := spool.Chunk{Kind: spool.KindAudit, Source: "111122223333/apiserver-0", Received: time.Unix(1790000000, 0)}
	for len(c.Data) < size {
		c.Data = spool.AppendItem(c.Data, auditEvent(r))
		c.Items++
	}
	return c
}

// processCPU is the CPU time of this process so far.
func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend stores chunks of 512 KB on the real file system, with trim
// close behind as in a receiver that keeps up.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkAppend(b, callers, 512<<10) })
	}
	b.Run("callers=16/chunk=16KB", func(b *testing.B) { benchmarkAppend(b, 16, 16<<10) })
}

func benchmarkAppend(b *testing.B, callers, size int) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	chunk := auditChunk(1, size)
	var n atomic.Uint64
	b.SetBytes(int64(len(chunk.Data)))
	b.ReportAllocs()
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	if callers == 1 {
		b.SetParallelism(1)
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	before := processCPU(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c := chunk
			i := n.Add(1)
			binary.LittleEndian.PutUint64(c.ID[:], i)
			if _, err := s.Append(b.Context(), []spool.Chunk{c}); err != nil {
				b.Error(err)
				return
			}
			if tail := s.Tail(); i%16 == 0 && tail > 32 {
				if err := s.Trim(tail - 32); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	events := float64(b.N * chunk.Items)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
	b.ReportMetric(float64((processCPU(b)-before).Nanoseconds())/events, "cpu-ns/event")
	st := s.(*store)
	m := st.db.Metrics()
	b.ReportMetric(float64(m.WAL.BytesWritten)/float64(b.N*len(chunk.Data)), "wal/raw")
	b.ReportMetric(float64(m.Levels[0].TableBytesFlushed)/float64(b.N*len(chunk.Data)), "flushed/raw")
}

func BenchmarkEncodeChunk(b *testing.B) {
	chunk := auditChunk(1, 512<<10)
	buf := make([]byte, 0, encodedBound(&chunk))
	b.SetBytes(int64(len(chunk.Data)))
	b.ReportAllocs()
	for b.Loop() {
		_ = appendChunk(buf, &chunk)
	}
}

func BenchmarkDecodeChunk(b *testing.B) {
	chunk := auditChunk(1, 512<<10)
	stored := appendChunk(nil, &chunk)
	buf := make([]byte, 0, len(chunk.Data))
	b.SetBytes(int64(len(chunk.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeChunk(stored, buf); err != nil {
			b.Fatal(err)
		}
	}
}
