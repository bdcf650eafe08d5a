package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/trail-operator/trail-operator/internal/installcheck"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

// check is `manager check`, which `helm test` runs: it ends without an error
// when the installation works.
func check(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("manager check", flag.ContinueOnError)
	config.RegisterFlags(flags) // --kubeconfig
	path := flags.String("config", defaultConfig, "the manager's configuration `file`")
	timeout := flags.Duration("timeout", 2*time.Minute, "how long to wait for what does not work yet")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; --help lists the flags", flags.Arg(0))
	}
	settings, err := managerconfig.Load(*path)
	if err != nil {
		return err
	}
	cluster, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	return installcheck.Run(ctx, installcheck.Options{Cluster: cluster, Config: settings, Clock: clock.RealClock{}, Out: os.Stdout})
}
