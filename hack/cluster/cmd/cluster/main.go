//go:build linux

// Command cluster runs a Kubernetes cluster of one node on this machine until
// Ctrl-C, and programs on the node meanwhile:
//
//	go run ./hack/cluster/cmd/cluster up --dir /tmp/node
//	go run ./hack/cluster/cmd/cluster exec --dir /tmp/node kubectl get nodes
//
// prepare gets all that a cluster needs, which takes minutes the first time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/trail-operator/trail-operator/hack/cluster"
)

const usage = `usage: cluster prepare                  see whether a cluster can run here, and build what it needs
       cluster up [--dir DIR]           bring a cluster up, until Ctrl-C
       cluster exec --dir DIR COMMAND...  run a command on the node
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case errors.Is(err, flag.ErrHelp):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return flag.ErrHelp
	}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	dir := flags.String("dir", "", "folder of the cluster")
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the DNS server")
	listen := flags.String("listen", "", "address of the DNS server")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "prepare":
		_, err := cluster.Prepare(ctx, os.Stderr)
		return err
	case "up":
		return up(ctx, *dir)
	case "exec":
		if *dir == "" || flags.NArg() == 0 {
			return errors.New("exec needs --dir and a command")
		}
		return execute(ctx, *dir, flags.Args())
	// The two below are started by the cluster itself, on the node.
	case "init":
		return cluster.RunInit(flags.Arg(0))
	case "dns":
		return cluster.ServeDNS(ctx, *kubeconfig, *listen)
	}
	flags.Usage()
	return flag.ErrHelp
}

func up(ctx context.Context, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "trail-cluster-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c, err := cluster.Start(ctx, cluster.Options{Dir: dir, Progress: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the cluster is up; logs are in %s/log\n"+
		"  go run ./hack/cluster/cmd/cluster exec --dir %s kubectl get nodes\n", c.Dir, c.Dir)
	<-ctx.Done()
	return c.Stop()
}

// execute runs a command as an administrator, on the terminal of this process.
func execute(ctx context.Context, dir string, args []string) error {
	c, err := cluster.Attach(dir)
	if err != nil {
		return err
	}
	defer c.Detach()
	cmd := c.Command(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c.Run(cmd)
}
