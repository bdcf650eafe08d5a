package receiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/signing"
)

// configInterval is how often the configuration folder is looked at: a kubelet
// changes it by renaming, and polling one file's state works on every system.
const configInterval = time.Second

// errNotApplied: the configuration is good, and the volume would not store that
// it is in force. It may be full, and have space again later.
var errNotApplied = errors.New("the configuration cannot be put in force")

// watchConfig loads the folder, and loads it again whenever it changes, until
// ctx ends. A folder that is refused leaves the last good one in force.
func (r *Receiver) watchConfig(ctx context.Context) {
	var seen, refused string
	timer := r.o.Clock.NewTimer(configInterval)
	defer timer.Stop()
	for ctx.Err() == nil {
		if now := stamp(r.o.ConfigDir); now != seen {
			err := r.load()
			switch {
			case err == nil:
				seen, refused = now, ""
			case errors.Is(err, receiverconfig.ErrIncomplete):
				r.o.Log.V(1).Info("The configuration is not complete yet", "reason", err.Error())
			default:
				if !errors.Is(err, errNotApplied) {
					seen = now // it will not get better by itself
				}
				if err.Error() != refused {
					r.o.Log.Error(err, "The configuration is refused; the last one stays in force")
				}
				refused = err.Error()
				r.pipeline.Refused(err)
			}
		}
		timer.Reset(configInterval)
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
	}
}

// stamp tells one state of the folder from the next: the target of the
// kubelet's link where there is one, else the state of the file.
func stamp(dir string) string {
	if target, err := os.Readlink(filepath.Join(dir, "..data")); err == nil {
		return target
	}
	info, err := os.Stat(filepath.Join(dir, receiverconfig.FileConfig))
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// load puts the folder in force: certificates first, then intake, then trails.
func (r *Receiver) load() error {
	l, err := receiverconfig.Load(r.o.ConfigDir)
	if err != nil {
		return err
	}
	key, err := signing.ParsePEM(l.SigningKey)
	if err != nil {
		return err
	}
	if err := r.certificates.Set(l.ServerCert, l.ServerKey, l.ClientCA, l.Config.RefusedCertificates...); err != nil {
		return err
	}
	if err := r.forward.Configure(l.Config.ForwardTo); err != nil {
		return err
	}
	if err := r.intake.Unlock(l.SigningKey); err != nil {
		return fmt.Errorf("%w: %w", errNotApplied, err)
	}
	if err := r.intake.ConfigureTail(l.Config.Tail); err != nil {
		return fmt.Errorf("%w: tails of audit logs: %w", errNotApplied, err)
	}
	r.certificates.LetIn(l.Config.Tail != nil)
	r.intake.Configure(l.Config.Installation.Account, l.Config.KeepSensitiveBodies, l.Config.Manager)
	if err := r.pipeline.Apply(&l.Config, l.Trails, key); err != nil {
		return fmt.Errorf("%w: %w", errNotApplied, err)
	}
	r.configured.Store(true)
	r.o.Log.Info("Configuration in force", "generation", l.Config.Generation, "trails", len(l.Trails))
	return nil
}
