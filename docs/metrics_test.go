package docs_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/controllers/loss"
	"github.com/trail-operator/trail-operator/controllers/trail"
	"github.com/trail-operator/trail-operator/controllers/validation"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiver"
	"github.com/trail-operator/trail-operator/internal/recorder/tail"
)

var description = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// described are the metrics that c may have, as name{label,label}.
func described(t *testing.T, c prometheus.Collector) []string {
	t.Helper()
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		c.Describe(ch)
	}()
	var list []string
	for d := range ch {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		list = append(list, fmt.Sprintf("%s{%s}", m[1], m[2]))
	}
	slices.Sort(list)
	return list
}

var metricRow = regexp.MustCompile("(?m)^\\| `(trail_[a-z_]+)` \\|([^|]*)\\|")

// listed are the metrics in a section of the page, in the same form.
func listed(t *testing.T, heading string) []string {
	t.Helper()
	_, section, found := strings.Cut(page(t, "metrics.md"), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("metrics.md has no section %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var list []string
	for _, m := range metricRow.FindAllStringSubmatch(section, -1) {
		labels := strings.ReplaceAll(strings.ReplaceAll(m[2], "`", ""), " ", "")
		list = append(list, fmt.Sprintf("%s{%s}", m[1], labels))
	}
	slices.Sort(list)
	return list
}

func compare(t *testing.T, registered, listed []string) {
	t.Helper()
	for _, m := range registered {
		if !slices.Contains(listed, m) {
			t.Errorf("metrics.md lacks %s", m)
		}
	}
	for _, m := range listed {
		if !slices.Contains(registered, m) {
			t.Errorf("metrics.md names %s, which nobody registers", m)
		}
	}
}

func TestReceiverMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	r, err := receiver.New(receiver.Options{
		ConfigDir: t.TempDir(), DataDir: t.TempDir(), TrailQuota: 1 << 30,
		Open: minio.New, Clock: clock.RealClock{}, Log: logr.Discard(), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, described(t, registry), listed(t, "Receiver"))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ended, l); err != nil { // closes the volume
		t.Error(err)
	}
}

func TestTailMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	follower, err := tail.New(tail.Options{
		Path: t.TempDir() + "/audit.log", StateDir: t.TempDir(), Clock: clock.RealClock{}, Log: logr.Discard(), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, described(t, registry), listed(t, "Tail"))
	if err := follower.Close(); err != nil {
		t.Error(err)
	}
}

func TestManagerMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(trail.NewAbandoned(), installation.NewExpiry(), loss.NewMetrics(&loss.Accountant{}))
	if err := validation.NewMetrics().Register(registry); err != nil {
		t.Fatal(err)
	}
	compare(t, described(t, registry), listed(t, "Manager"))
}

// TestAlerts: the alerts ask for metrics that exist.
func TestAlerts(t *testing.T) {
	known := map[string]bool{}
	for _, m := range slices.Concat(listed(t, "Receiver"), listed(t, "Tail"), listed(t, "Manager")) {
		name, _, _ := strings.Cut(m, "{")
		known[name] = true
	}
	b, err := os.ReadFile("metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`\btrail_[a-z_]+`).FindAllString(string(b), -1)
	if len(asked) < len(known) {
		t.Fatalf("only %d names were found", len(asked))
	}
	for _, name := range asked {
		if !known[name] {
			t.Errorf("metrics.md asks for %s, which does not exist", name)
		}
	}
}
