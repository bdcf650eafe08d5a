// Command demo runs the whole product on this machine, with a real etcd, a real
// kube-apiserver and a real S3 server, and tells the story of an investigation:
// who deleted it, when, from where, and can the answer be trusted?
//
// Nothing is installed and nothing outside its own temporary folder and the
// user's build cache is touched.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	keep := flag.Bool("keep", false, "stay up at the end, and print what can be tried")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
	fmt.Println("demo: OK")
}

func run(ctx context.Context, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "trail-demo-")
	if err != nil {
		return err
	}
	s := &story{ctx: ctx, out: os.Stdout, dir: dir, path: filepath.Join(dir, "bin"), start: time.Now()}
	d := &demo{story: s, processes: processes{logs: filepath.Join(dir, "logs")}}
	defer func() {
		d.stop()
		if err != nil {
			err = fmt.Errorf("%w\n(logs are in %s)", err, dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	for _, step := range []func() error{
		d.build, d.startCluster, d.install, d.connect, d.createTrail, d.act, d.investigate, d.suspend, d.validate, d.tamper,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if keep {
		return d.stay()
	}
	s.chapter("Done")
	return nil
}
