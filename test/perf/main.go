// Command perf measures the receiver: how many events it takes per second of
// its own CPU, from kube-apiserver's POST to the object in the bucket, against a
// baseline that only receives, compresses, makes durable and answers. Both run
// in one go on the same input, so that the ratio holds whatever the machine.
//
// It measures the manager, too: what many trails cost it and the API server.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	posts := flag.Int("posts", 500, "POSTs of 400 events in each measurement; 0 leaves these out")
	parallel := flag.Int("parallel", 8, "POSTs under way at once")
	receiver := flag.String("receiver", "", "path of the receiver; empty builds it")
	runs := flag.Int("runs", 3, "runs of each measurement; the median counts")
	large := flag.Int("large", 540, "size of one large POST in MB; 0 leaves it out")
	trails := flag.Int("trails", 1000, "trails that the manager reconciles; 0 leaves them out")
	manager := flag.String("manager", "", "path of the manager; empty builds it")
	baseline := flag.String("baseline", "", "internal: serve the baseline with its data in this folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *baseline != "" {
		err = serveBaseline(ctx, *baseline)
	} else {
		err = measure(ctx, options{
			posts: *posts, parallel: *parallel, runs: *runs, large: *large, trails: *trails, receiver: *receiver, manager: *manager,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "trail-perf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, path := range map[string]*string{"receiver": &o.receiver, "manager": &o.manager} {
		if *path == "" {
			*path = filepath.Join(dir, name)
			if err := build(ctx, *path, "./cmd/"+name); err != nil {
				return err
			}
		}
	}
	b := &bench{options: o, dir: dir}
	if o.posts > 0 {
		if err := b.events(ctx); err != nil {
			return err
		}
	}
	if o.large > 0 {
		if err := b.largePost(ctx); err != nil {
			return err
		}
	}
	if o.trails > 0 {
		return b.reconcile(ctx)
	}
	return nil
}

// events measures the receiver with both kinds of events.
func (b *bench) events(ctx context.Context) error {
	for _, kind := range []struct {
		name string
		body int
	}{{"Metadata", 0}, {"Request", 5000}} {
		if err := b.compare(ctx, kind.name, kind.body); err != nil {
			return err
		}
	}
	return nil
}
