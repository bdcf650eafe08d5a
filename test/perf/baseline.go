package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/s2"
)

// serveBaseline is the least that any receiver with our promise must do: read
// the body over TLS, compress it, commit it with a sync, answer.
func serveBaseline(ctx context.Context, dir string) error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return err
	}
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{MemTableSize: 32 << 20})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var n atomic.Uint64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b := db.NewBatch()
		defer func() { _ = b.Close() }()
		if b.Set(binary.BigEndian.AppendUint64(nil, n.Add(1)), s2.Encode(nil, body), nil) != nil || b.Commit(pebble.Sync) != nil {
			http.Error(w, "not stored", http.StatusServiceUnavailable)
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "address"), []byte(l.Addr().String()), 0o600); err != nil {
		return err
	}
	s := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}, ReadHeaderTimeout: 1e9}
	go func() { <-ctx.Done(); _ = s.Close() }()
	if err := s.ServeTLS(l, "", ""); err != http.ErrServerClosed {
		return fmt.Errorf("serve the baseline: %w", err)
	}
	return nil
}
