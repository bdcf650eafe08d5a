// Command recorder records what happens where it runs and sends it to the
// receiver. `recorder tail` follows the audit log of a kube-apiserver.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/zapr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/recorder/tail"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	root := &cobra.Command{Use: "recorder", Short: "Sends what it sees to the receiver of Trail Operator", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(tailCommand())
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

func tailCommand() *cobra.Command {
	var o tail.Options
	var listen string
	c := &cobra.Command{
		Use: "tail", Short: "Follow the audit log of the kube-apiserver on this node", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTail(cmd.Context(), o, listen) },
	}
	f := c.Flags()
	f.StringVar(&o.Path, "audit-log", "/var/log/kubernetes/audit/audit.log", "file that kube-apiserver writes to, its --audit-log-path")
	f.StringVar(&o.StateDir, "state-dir", "/var/lib/trail-tail", "folder that outlives the program")
	f.StringVar(&o.ReceiverDir, "receiver-dir", "/var/run/trail-receiver", "folder with url, account, ca.crt and token of the receiver")
	f.StringVar(&o.APIServer, "apiserver", os.Getenv("NODE_NAME"), "name of the node that the API server runs on (default: the variable NODE_NAME)")
	f.BoolVar(&o.Backfill, "backfill", false, "begin with the oldest file, if there is no state yet; without, with what is written from then on")
	f.StringVar(&listen, "metrics-listen", "127.0.0.1:8080", "address of /metrics, /healthz and /readyz")
	return c
}

func runTail(ctx context.Context, o tail.Options, listen string) error {
	if o.APIServer == "" {
		return errors.New("--apiserver or NODE_NAME must name the node")
	}
	zl, err := zap.NewProduction()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.Log, o.Clock, o.Registerer = zapr.NewLogger(zl), clock.RealClock{}, registry
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	t, err := tail.New(o)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", t.ServeHealth)
	mux.HandleFunc("GET /readyz", t.ServeReady)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	go func() { _ = s.Serve(l) }() // ends with Close
	err = t.Run(ctx)
	return errors.Join(err, s.Close(), t.Close())
}
