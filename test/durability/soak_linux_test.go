package durability

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// soakReport names the file into which the soak writes its report.
const soakReport = "TRAIL_SOAK_REPORT"

// weather is what the front does for a while.
type weather struct {
	mu     sync.Mutex
	rand   *rand.Rand
	kinds  []testenv.S3Fault
	chance float64
	bucket string // the only one concerned; empty for all
}

func (w *weather) choose(r *http.Request) testenv.S3Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	bucket, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(w.kinds) == 0 || w.bucket != "" && bucket != w.bucket || w.rand.Float64() >= w.chance {
		return ""
	}
	return w.kinds[w.rand.IntN(len(w.kinds))]
}

func (w *weather) change(bucket string, chance float64, kinds ...testenv.S3Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bucket, w.chance, w.kinds = bucket, chance, kinds
}

// soakRun is a soak under way and what it reports.
type soakRun struct {
	*fleet
	weather *weather
	rand    *rand.Rand
	disk    string // a small file system of the receiver's own, where it can be mounted
	scale   time.Duration

	begun            time.Time
	acts             map[string]int
	peakRSS, pending int64 // bytes; records
	drained          time.Duration
}

// TestSoak mixes everything that can be done to a receiver, its volume and its
// stores while it works, for some seconds or, with TRAIL_SOAK, for so long.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if s := os.Getenv("TRAIL_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TRAIL_SOAK_SEED=%d", seed)
	s := &soakRun{
		weather: &weather{rand: rand.New(rand.NewPCG(seed, 5))}, rand: rand.New(rand.NewPCG(seed, 6)),
		acts: map[string]int{}, begun: time.Now(), scale: 300 * time.Millisecond,
	}
	p := pace{senders: 3, events: 8, body: 16 << 10, pause: 30 * time.Millisecond}
	flags, data, atMost := []string{"--trail-quota-bytes", strconv.Itoa(256 << 10)}, "", 2*patience
	if soak() > 0 {
		// About 150 events a second: a cluster of some hundred nodes.
		p = pace{senders: 4, events: 8, body: 2 << 10, pause: 200 * time.Millisecond}
		s.scale, atMost = 4*time.Second, 5*patience
		s.disk = smallDisk(t)
	}
	if s.disk != "" {
		data = filepath.Join(s.disk, "data")
		flags = append(flags, "--reserve-bytes", strconv.Itoa(reserve))
	}
	s.fleet = newFleet(t, data, flags, mixedTrails, s.weather.choose)
	defer s.stop()
	if soak() > 0 {
		s.front.PatienceOfSilence = 20 * time.Second
	}
	s.apply()
	for end := s.begun.Add(7*time.Second + soak()); time.Now().Before(end) && !t.Failed(); {
		var over atomic.Bool
		wait := s.send(p, func() bool { return over.Load() || t.Failed() })
		for quiet := time.Now().Add(12 * s.scale); time.Now().Before(quiet) && time.Now().Before(end) && !t.Failed(); {
			s.act()
			s.measure()
		}
		s.calm()
		over.Store(true)
		wait()
		if !t.Failed() {
			s.reconfigure()
		}
	}
	s.calm()
	s.mu.Lock()
	s.kills = nil
	s.mu.Unlock()
	calm := time.Now()
	status := s.settle(atMost)
	s.drained = time.Since(calm)
	s.measure()
	all := s.promise(status)
	report := s.report(seed, status, all)
	t.Log(report)
	if path := os.Getenv(soakReport); path != "" {
		if err := os.WriteFile(path, []byte(report), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// smallDisk mounts a file system for the receiver, or returns nothing.
func smallDisk(t *testing.T) string {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+strconv.Itoa(diskSize)); err != nil {
		t.Logf("a small file system cannot be mounted, so that the volume is never full: %v", err)
		return ""
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk
}

// pass lets some time go by, between nothing and twice the scale.
func (s *soakRun) pass(scale time.Duration) {
	select {
	case <-time.After(time.Duration(s.rand.Int64N(int64(2 * scale)))):
	case <-s.ctx.Done():
	}
}

// act does one thing to the receiver, its volume or its stores, and lets it last
// for a while.
func (s *soakRun) act() {
	loud := s.in.Trails[2].Destination.Bucket
	one := s.in.Trails[s.rand.IntN(len(s.in.Trails))].Destination.Bucket
	acts := []struct {
		name   string
		weight int
		do     func()
	}{
		{"calm", 3, s.calm},
		{"storm", 3, func() { s.weather.change("", 0.4, storeFaults...) }},
		{"one bucket in trouble", 3, func() { s.weather.change(one, 0.8, storeFaults[s.rand.IntN(len(storeFaults))]) }},
		{"stores away", 1, func() { s.front.SetDown(true) }},
		{"a tenant's bucket dead", 2, func() {
			s.weather.change(loud, 1, testenv.S3Error, testenv.S3Denied)
			s.pass(4 * s.scale)
		}},
		{"clock skew", 1, func() { s.weather.change("", 1, testenv.S3SkewedClock) }},
		{"SIGKILL", 4, s.kill},
		{"SIGTERM", 2, s.terminate},
		{"SIGKILL at a failpoint", 3, s.killAtFailpoint},
		{"volume full", 1, s.fill},
	}
	total := 0
	for _, a := range acts {
		total += a.weight
	}
	n := s.rand.IntN(total)
	for _, a := range acts {
		if n -= a.weight; n >= 0 {
			continue
		}
		if a.name == "volume full" && s.disk == "" {
			return
		}
		s.acts[a.name]++
		a.do()
		break
	}
	s.pass(s.scale)
}

func (s *soakRun) calm() {
	s.weather.change("", 0)
	s.front.SetDown(false)
}

// killAtFailpoint lets the receiver kill itself after the next start, which is now.
func (s *soakRun) killAtFailpoint() {
	var names []string
	for _, points := range failpoints {
		names = append(names, slices.Collect(maps.Keys(points))...)
	}
	slices.Sort(names)
	s.mu.Lock()
	s.kills = append(s.kills, fmt.Sprintf("%s:%d", names[s.rand.IntN(len(names))], 1+s.rand.IntN(8)))
	s.mu.Unlock()
	s.kill()
}

// fill takes the space of the volume away, for less than a sender waits.
func (s *soakRun) fill() {
	leave(s.t, s.disk, []int64{reserve * 3 / 4, reserve / 3, reserve / 16}[s.rand.IntN(3)])
	s.pass(min(s.scale, 5*time.Second))
	leave(s.t, s.disk, diskSize)
}

// reconfigure changes something while nothing is sent, so that the model knows
// to which events it applies.
func (s *soakRun) reconfigure() {
	i := s.rand.IntN(len(s.in.Trails))
	switch t := &s.in.Trails[i]; s.rand.IntN(4) {
	case 0:
		s.acts["key rotated"]++
		s.rotate()
	case 1:
		s.acts["selection changed"]++
		next := map[v1alpha1.ReadWriteType]v1alpha1.ReadWriteType{
			v1alpha1.ReadWriteAll: v1alpha1.ReadOnly, v1alpha1.ReadOnly: v1alpha1.WriteOnly, v1alpha1.WriteOnly: v1alpha1.ReadWriteAll,
		}[t.Selection.Basic[0].ReadWriteType]
		s.change(i, func(t *receiverconfig.Trail) { t.Selection = selection(next) })
	default: // most often, since the other half of it is to come
		name := "trail suspended"
		if t.Suspended {
			name = "trail resumed"
		} else if t.Namespace == "" {
			return // which have the records of what tenants have lost
		}
		s.acts[name]++
		s.change(i, func(t *receiverconfig.Trail) { t.Suspended = !t.Suspended })
	}
}

// measure looks at the receiver, which may be away.
func (s *soakRun) measure() {
	s.world.mu.Lock()
	pid := s.receiver.PID()
	s.world.mu.Unlock()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		for line := range strings.Lines(string(b)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
				if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
					s.peakRSS = max(s.peakRSS, n<<10)
				}
			}
		}
	}
	status, err := s.status()
	if err != nil {
		return
	}
	for _, t := range status.Trails {
		s.pending = max(s.pending, t.Counts.Pending)
	}
}

// report says in Markdown what there was.
func (s *soakRun) report(seed uint64, status *receiverstatus.Status, all []kept) string {
	var b bytes.Buffer
	verdict := "The promise was kept."
	if s.t.Failed() {
		verdict = "**The promise was not kept.**"
	}
	fmt.Fprintf(&b, "%s, %s, %d CPUs, %s, %s, seed %d. %s\n\n| what | |\n|---|---|\n",
		s.begun.UTC().Format("2006-01-02 15:04 UTC"), runtime.Version(), runtime.NumCPU(), machine(), revision(), seed, verdict)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | "+format+" |\n", append([]any{name}, args...)...)
	}
	row("duration", "%s", time.Since(s.begun).Round(time.Second))
	row("events acknowledged", "%d", s.events.size())
	row("bodies sent again after their answer, most not in their order", "%d", s.events.again)
	row("bodies whose first try was cut", "%d", s.events.cut)
	row("ends by SIGKILL", "%d", s.deaths())
	for _, name := range slices.Sorted(maps.Keys(s.acts)) {
		row(name, "%d times", s.acts[name])
	}
	row("quarantined, at intake", "%d", status.Intake.Quarantined)
	row("damaged chunks", "%d", status.Spool.Damaged)
	row("objects of which a store kept half", "%d", len(s.front.Halved()))
	row("most records that waited for one bucket", "%d", s.pending)
	row("peak RSS of the receiver", "%d MiB", s.peakRSS>>20)
	row("time until everything was delivered, after the last fault", "%s", s.drained.Round(100*time.Millisecond))
	b.WriteString("\n| trail | visible | in the bucket | lost or twice | expired | records of our own | log files | digests |\n|---|---|---|---|---|---|---|---|\n")
	for i, k := range all {
		c := status.Trails[slices.IndexFunc(status.Trails, func(t receiverstatus.Trail) bool { return t.UID == s.in.Trails[i].UID })].Counts
		fmt.Fprintf(&b, "| `%s` | %d | %d | %s | %d | %v | %d | %d |\n", s.trails[i].name, s.events.visible[i], k.records,
			map[bool]string{true: "see the failures", false: "0"}[s.t.Failed()], c.Expired, k.names, k.files, k.digests)
	}
	b.WriteString("\n| fault of the stores | requests |\n|---|---|\n")
	done := s.front.Done()
	for _, fault := range slices.Sorted(maps.Keys(done)) {
		row(string(fault), "%d", done[fault])
	}
	return b.String()
}

// machine is the model of the processor.
func machine() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// revision is the commit that is tested.
func revision() string {
	if commit := os.Getenv("TRAIL_SOAK_COMMIT"); commit != "" {
		return "commit " + commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return "commit " + s.Value
			}
		}
	}
	return "no commit"
}
