package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trail-operator/trail-operator/internal/receiver"
)

// serveMetrics serves /metrics and the probes, without TLS, on an address that
// only the pod, or whom the installer lets, can reach.
func serveMetrics(ctx context.Context, address string, registry *prometheus.Registry, r *receiver.Receiver, log logr.Logger) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", r.ServeHealth)
	mux.HandleFunc("GET /readyz", r.ServeReady)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error(err, "Metrics are not served any more")
		}
	}()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return nil
}
