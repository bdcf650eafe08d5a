// Command perf measures the receiver: how many events it takes per second of
// its own CPU, from kube-apiserver's POST to the object in the bucket, against a
// baseline that only receives, compresses, makes durable and answers. All runs
// in one go on the same input, so that ratios hold whatever the machine.
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
	"slices"
	"strings"
	"syscall"
)

// part is something that is measured.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

// parts are all, in this order.
var parts = []part{
	{"steps", (*bench).steps},
	{"events", (*bench).events},
	{"sizes", (*bench).sizes},
	{"trails", (*bench).manyTrails},
	{"rates", (*bench).rates},
	{"down", (*bench).bucketDown},
	{"large", (*bench).largePost},
	{"manager", (*bench).reconcile},
}

func main() {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	var o options
	only := flag.String("only", strings.Join(names, ","), "what to measure")
	flag.IntVar(&o.posts, "posts", 500, "POSTs of 400 events in each measurement")
	flag.IntVar(&o.parallel, "parallel", 8, "POSTs under way at once")
	flag.IntVar(&o.runs, "runs", 3, "runs of each comparison with the baseline; the median counts")
	flag.IntVar(&o.seconds, "seconds", 20, "how long each rate is kept")
	flag.IntVar(&o.large, "large", 540, "size of one large POST in MB")
	flag.IntVar(&o.trails, "trails", 1000, "trails that the manager reconciles")
	flag.StringVar(&o.receiver, "receiver", "", "path of the receiver; empty builds it")
	flag.StringVar(&o.manager, "manager", "", "path of the manager; empty builds it")
	baseline := flag.String("baseline", "", "internal: serve the baseline with its data in this folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *baseline != "" {
		err = serveBaseline(ctx, *baseline)
	} else {
		err = measure(ctx, o, strings.Split(*only, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options, only []string) error {
	dir, err := os.MkdirTemp("", "trail-perf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, path := range map[string]*string{"receiver": &o.receiver, "manager": &o.manager} {
		if *path == "" && (name == "receiver" || slices.Contains(only, "manager")) {
			*path = filepath.Join(dir, name)
			if err := build(ctx, *path, "./cmd/"+name); err != nil {
				return err
			}
		}
	}
	b := &bench{options: o, dir: dir}
	for _, name := range only {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("there is no part %q to measure", name)
		}
		if err := parts[i].run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
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
