package intake

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// BenchmarkIndex is what it costs to find out of each event whether it is stored:
// one POST of 400 events of 1.25 KB each time.
func BenchmarkIndex(b *testing.B) {
	api := newIssuer(b, "a")
	config := tailConfig(b, api)
	pad := `,"userAgent":"` + strings.Repeat("kubelet ", 130) + `"}`
	for _, c := range []struct {
		name  string
		on    bool
		times int // that each event comes
	}{{"off", false, 1}, {"first", true, 1}, {"second", true, 2}} {
		b.Run(c.name, func(b *testing.B) {
			w := newBothWays(b, api, config)
			_ = w.spool.Close()
			if w.begin(realSpool(b, b.TempDir()), config); !c.on {
				w.begin(w.spool, nil)
			}
			b.ReportAllocs()
			n := 0
			bodies := func() [2]string {
				items := make([]string, 400)
				for i := range items {
					n++
					e := at(onceBegin.Add(time.Duration(n)*time.Millisecond), fmt.Sprintf("7b0c5a52-0000-4000-8000-%012d", n))[0]
					items[i] = e[:len(e)-1] + pad
				}
				// The same events, cut in another way.
				return [2]string{list(items...), " " + list(items...)}
			}
			b.SetBytes(int64(len(bodies()[0])))
			for b.Loop() {
				b.StopTimer()
				both := bodies()
				if c.times == 2 && w.postText(both[0], batch{}, math.MaxInt) != 200 {
					b.Fatal("refused")
				}
				b.StartTimer()
				if w.postText(both[c.times-1], batch{}, math.MaxInt) != 200 {
					b.Fatal("refused")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/400, "ns/event")
		})
	}
}
