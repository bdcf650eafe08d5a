// Package receiver is the process of the data plane: it puts intake, spool and
// pipeline together, follows the configuration folder, and serves the status API.
package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/forward"
	"github.com/trail-operator/trail-operator/internal/intake"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/pipeline"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

// Options are what a Receiver works with.
type Options struct {
	ConfigDir string // the projected volume, see package receiverconfig
	DataDir   string // the receiver's volume; created when it is missing
	// ReserveBytes of the volume are kept free of events, at least
	// receiverconfig.MinReserveBytes; 0 means the spool's default.
	ReserveBytes int64
	// TrailQuota bounds the undelivered files of one trail, in bytes.
	TrailQuota int64
	Open       objectstore.Opener
	Clock      clock.Clock
	Log        logr.Logger
	Registerer prometheus.Registerer
}

// The index of events, which there is while there are tails, may take a share of
// the volume: with 20 GiB 80 million events, of an hour or more.
const (
	indexShare = 10
	minIndex   = 64 << 20
)

// Receiver is the data plane of one installation.
type Receiver struct {
	o            Options
	spool        spool.Spool
	intake       *intake.Handler
	certificates intake.Certificates
	forward      *forward.Forwarder
	pipeline     *pipeline.Pipeline
	prober       prober
	configured   atomic.Bool // a configuration was loaded
}

// New opens the volume. Nothing is accepted before Run.
func New(o Options) (*Receiver, error) {
	if o.ReserveBytes != 0 && o.ReserveBytes < receiverconfig.MinReserveBytes {
		return nil, fmt.Errorf("--reserve-bytes is %d; it must be at least %d (96 MiB), which the spool needs to write its own files when events have filled the volume",
			o.ReserveBytes, receiverconfig.MinReserveBytes)
	}
	o.ReserveBytes = cmp.Or(o.ReserveBytes, pebble.DefaultReserveBytes)
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	s, err := pebble.Open(filepath.Join(o.DataDir, "spool"), pebble.Options{
		ReserveBytes: o.ReserveBytes, Clock: o.Clock, Logger: o.Log.WithName("spool"), Registerer: o.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	r := &Receiver{o: o, spool: s, prober: prober{commit: s.Commit}}
	if err := spool.CheckFormat(s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := r.assemble(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return r, nil
}

func (r *Receiver) assemble() (err error) {
	// The name of the spool's folder must survive what the spool survives.
	if err := (outbox.OS{}).SyncDir(r.o.DataDir); err != nil {
		return fmt.Errorf("sync the data folder: %w", err)
	}
	_, size, err := outbox.OS{}.Space(r.o.DataDir)
	if err != nil {
		return err
	}
	freeBytes := func() (int64, error) { free, _, err := outbox.OS{}.Space(r.o.DataDir); return free, err }
	r.forward, err = forward.New(forward.Options{
		Dir: filepath.Join(r.o.DataDir, "forward"), Clock: r.o.Clock, Log: r.o.Log.WithName("forward"), Registerer: r.o.Registerer,
		// They give way before events are refused.
		FreeBytes: freeBytes, KeepFree: r.o.ReserveBytes + r.o.ReserveBytes/4,
	})
	if err != nil {
		return err
	}
	r.pipeline, err = pipeline.New(pipeline.Options{
		Spool: r.spool, FS: outbox.OS{}, Dir: filepath.Join(r.o.DataDir, "outbox"), Open: r.o.Open,
		Clock: r.o.Clock, Log: r.o.Log.WithName("pipeline"), TrailQuota: r.o.TrailQuota,
		FreeBytes: freeBytes, ReserveBytes: r.o.ReserveBytes, VolumeBytes: size,
	})
	if err != nil {
		return err
	}
	r.intake, err = intake.New(intake.Options{
		Spool: r.spool, Clock: r.o.Clock, Log: r.o.Log.WithName("intake"), Registerer: r.o.Registerer, Forward: r.forward,
		IndexBytes: max(size/indexShare, minIndex), Ahead: r.ahead,
	})
	if err != nil {
		return err
	}
	if r.o.Registerer == nil {
		return nil
	}
	return r.o.Registerer.Register(newCollector(r.Status))
}

// ahead is pipeline's Ahead, where nil is nil.
func (r *Receiver) ahead(source string) intake.Ahead {
	if a := r.pipeline.Ahead(source); a != nil {
		return a
	}
	return nil
}

// Run serves on l until ctx ends. It then finishes the POSTs in flight, closes
// the open files and leaves the volume ready for the next start.
func (r *Receiver) Run(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle(intake.PathPrefix, r.intake)
	status := r.statusAPI()
	mux.Handle(receiverstatus.PathStatus, status)
	mux.Handle(receiverstatus.PathEvents, status)
	for _, path := range []string{receiverstatus.PathKept, receiverstatus.PathKept + "/", receiverstatus.PathReplay, receiverstatus.PathRedeliver} {
		mux.Handle(path, status)
	}

	// The pipeline ends after intake: what was answered is still filed, and sent on.
	drain, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var pipeline errgroup.Group
	pipeline.Go(func() error { return r.pipeline.Run(drain) })
	pipeline.Go(func() error { r.forward.Run(drain); return nil })

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.watchConfig(gctx); return nil })
	g.Go(func() error { r.tidy(gctx); return nil })
	g.Go(func() error { return intake.Serve(gctx, l, &r.certificates, mux, r.o.Log.WithName("server")) })
	err := g.Wait()
	stop()
	return errors.Join(err, pipeline.Wait(), r.spool.Close())
}

// Status is the state of the receiver.
func (r *Receiver) Status() receiverstatus.Status {
	s := r.pipeline.Status()
	s.Intake.Duplicates = r.intake.Duplicates()
	s.Intake.Received += s.Intake.Duplicates
	s.Intake.Sources = r.intake.Sources()
	s.Intake.Tails, s.Intake.EventIndex = r.intake.Tails()
	s.Certificates = r.certificates.InForce()
	s.Intake.Forward = r.forward.Status()
	s.Spool.Full = r.intake.Full()
	s.Kept = r.kept()
	return s
}
