// Command assets builds the named programs, unless they are in the cache, and
// prints one NAME=PATH line for each:
//
//	go run ./hack/assets/cmd/assets kube-apiserver versitygw
//
// With --dir it prints the folder that holds the programs of the control plane,
// with --path the path alone of the one program named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/trail-operator/trail-operator/hack/assets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "assets:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, progress io.Writer) error {
	flags := flag.NewFlagSet("assets", flag.ContinueOnError)
	dir := flags.Bool("dir", false, "print the folder with kube-apiserver, etcd and kubectl")
	path := flags.Bool("path", false, "print the path of the one program named, without its name")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: assets [--dir] [--path] NAME...\nnames: %s\n", strings.Join(assets.Names(), ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	names := flags.Args()
	switch {
	case *path && len(names) != 1:
		return errors.New("--path takes exactly one name")
	case !*dir && len(names) == 0:
		return errors.New("name at least one program; --help lists them")
	}
	paths, err := assets.Ensure(ctx, progress, names...)
	if err != nil {
		return err
	}
	for _, name := range names {
		if *path {
			fmt.Fprintln(stdout, paths[name])
		} else {
			fmt.Fprintf(stdout, "%s=%s\n", name, paths[name])
		}
	}
	if !*dir {
		return nil
	}
	folder, err := assets.KubeDir(ctx, progress)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, folder)
	return nil
}
