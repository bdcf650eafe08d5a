// Command manager is the control plane: it turns Trails into the receiver's
// configuration, and what the receiver makes of them into conditions.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/trail-operator/trail-operator/controllers"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
)

const defaultConfig = "/etc/trail-operator/manager.yaml"

func main() {
	command, args := run, os.Args[1:]
	if len(args) > 0 && args[0] == "check" {
		command, args = check, args[1:]
	}
	if err := command(ctrl.SetupSignalHandler(), args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "manager:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	config.RegisterFlags(flags) // --kubeconfig
	path := flags.String("config", defaultConfig, "the manager's configuration `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; --help lists the flags", flags.Arg(0))
	}
	logging := zap.NewProductionConfig()
	logging.DisableStacktrace = true
	logging.EncoderConfig.EncodeTime = zapcore.RFC3339TimeEncoder
	log, err := logging.Build()
	if err != nil {
		return err
	}
	ctrl.SetLogger(zapr.NewLogger(log))
	klog.SetLogger(zapr.NewLogger(log)) // client-go's own

	settings, err := managerconfig.Load(*path)
	if err != nil {
		return err
	}
	cluster, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	var mgr ctrl.Manager
	err = wait.PollUntilContextTimeout(ctx, 2*time.Second, 2*time.Minute, true, func(ctx context.Context) (done bool, err error) {
		mgr, err = controllers.NewManager(ctx, cluster, controllers.Options{Config: settings, Open: minio.NewManaged})
		if err != nil && away(err) {
			ctrl.Log.Info("The API server is away; trying again", "reason", err.Error())
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// away reports whether an API server that restarts would explain err.
func away(err error) bool {
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err)
}
