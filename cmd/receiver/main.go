// Command receiver is the data plane: it takes audit events from API servers,
// makes them durable, and delivers them as log files and signed digests.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/zapr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiver"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "validate-logs" {
		os.Exit(validate(os.Args[2:]))
	}
	var o receiver.Options
	flag.StringVar(&o.ConfigDir, "config-dir", "/etc/trail-receiver", "folder with the configuration that the manager renders")
	flag.StringVar(&o.DataDir, "data-dir", "/var/lib/trail-receiver", "folder on the receiver's own volume")
	flag.Int64Var(&o.ReserveBytes, "reserve-bytes", 512<<20, "bytes of the volume that events may not use, at least 96 MiB")
	flag.Int64Var(&o.TrailQuota, "trail-quota-bytes", 4<<30, "bytes that the undelivered files of one trail may use")
	listen := flag.String("listen", ":8443", "address of intake and of the status API")
	metrics := flag.String("metrics-listen", "127.0.0.1:8080", "address of /metrics, /healthz and /readyz")
	flag.Parse()

	zl, err := zap.NewProduction()
	if err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
	o.Log, o.Clock, o.Open = zapr.NewLogger(zl), clock.RealClock{}, minio.New
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, *listen, *metrics); err != nil {
		o.Log.Error(err, "The receiver ends")
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}

// gcPercent is what GOGC says elsewhere. Nearly all of the heap are buffers
// without pointers: memtables, chunks, compressors. To mark them costs next to
// nothing, so that a collection pays off long before the heap has doubled:
// measured, a quarter less memory under load at the same CPU time.
const gcPercent = 40

func run(ctx context.Context, o receiver.Options, listen, metrics string) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.Registerer = registry
	r, err := receiver.New(o)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if err := serveMetrics(ctx, metrics, registry, r, o.Log); err != nil {
		return err
	}
	o.Log.Info("Listening", "address", l.Addr().String())
	return r.Run(ctx, l)
}
