// Command perf measures the receiver: how many events it takes per second of
// its own CPU, from kube-apiserver's POST to the object in the bucket, against a
// baseline that only receives, compresses, makes durable and answers. Both run
// in one go on the same input, so that the ratio holds whatever the machine.
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
	posts := flag.Int("posts", 500, "POSTs of 400 events in each measurement")
	parallel := flag.Int("parallel", 8, "POSTs under way at once")
	receiver := flag.String("receiver", "", "path of the receiver; empty builds it")
	runs := flag.Int("runs", 3, "runs of each measurement; the median counts")
	large := flag.Int("large", 540, "size of one large POST in MB; 0 leaves it out")
	baseline := flag.String("baseline", "", "internal: serve the baseline with its data in this folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *baseline != "" {
		err = serveBaseline(ctx, *baseline)
	} else {
		err = measure(ctx, options{posts: *posts, parallel: *parallel, receiver: *receiver, runs: *runs, large: *large})
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
	if o.receiver == "" {
		o.receiver = filepath.Join(dir, "receiver")
		if err := build(ctx, o.receiver, "./cmd/receiver"); err != nil {
			return err
		}
	}
	b := &bench{options: o, dir: dir}
	for _, kind := range []struct {
		name string
		body int
	}{{"Metadata", 0}, {"Request", 5000}} {
		if err := b.compare(ctx, kind.name, kind.body); err != nil {
			return err
		}
	}
	if o.large > 0 {
		return b.largePost(ctx)
	}
	return nil
}
