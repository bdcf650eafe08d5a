package trail

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// TestReportOncePerChange: the installer finds in the log why a configuration
// was refused and which certificate has expired, and not once per poll.
func TestReportOncePerChange(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(now)
	p := &Poller{
		Clock: clock, Installation: &installation.Installation{},
	}
	p.Installation.SetCertificates(&installation.Certificates{Ends: []installation.End{{Secret: "trail-manager-tls", Time: now.Add(time.Hour)}}})
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	refused := func(why string) *receiverstatus.Status {
		return &receiverstatus.Status{Generation: 3, ConfigError: why}
	}
	var got []int
	for _, s := range []*receiverstatus.Status{
		refused(""), refused("one"), refused("one"), nil, refused("one"), refused("two"), refused(""), refused(""),
	} {
		before := len(lines)
		p.report(log, s)
		got = append(got, len(lines)-before)
	}
	if d := cmp.Diff([]int{0, 1, 0, 0, 0, 1, 1, 0}, got); d != "" {
		t.Errorf("lines per poll: %s\n%q", d, lines)
	}
	want := `"level"=0 "msg"="The receiver cannot load its configuration and goes on with the one before" "cause"="one" "generation"=3`
	if !slices.Contains(lines, want) {
		t.Errorf("no line %s in %q", want, lines)
	}
	clock.SetTime(now.Add(2 * time.Hour))
	before := len(lines)
	p.report(log, nil)
	p.report(log, nil)
	if len(lines) != before+1 {
		t.Errorf("an expired certificate is logged %d times", len(lines)-before)
	}
}

// BenchmarkWake is what one poll costs when nothing has changed, besides
// reading the status.
func BenchmarkWake(b *testing.B) {
	const n = 1000
	s := &receiverstatus.Status{}
	trails := make([]*v1alpha1.Trail, n)
	for i := range trails {
		uid := fmt.Sprint("uid-", i)
		trails[i] = &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
		s.Trails = append(s.Trails, receiverstatus.Trail{UID: uid, Generation: 1})
	}
	p := &Poller{}
	p.subscribe(Namespaced{})
	p.views = map[types.UID]view{}
	for i := range trails {
		p.views[trails[i].UID] = viewOf(s, &s.Trails[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		p.wake(b.Context(), s, p.kinds[0], trails, map[types.UID]view{})
	}
}
