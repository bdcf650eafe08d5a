// Package cli is the kubectl plugin: kubectl trail.
package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/cli/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/bucketpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/doctor"
	"github.com/trail-operator/trail-operator/internal/cli/eventselectors"
	"github.com/trail-operator/trail-operator/internal/cli/grant"
	"github.com/trail-operator/trail-operator/internal/cli/head"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/quarantine"
	"github.com/trail-operator/trail-operator/internal/cli/redeliver"
	"github.com/trail-operator/trail-operator/internal/cli/status"
	"github.com/trail-operator/trail-operator/internal/cli/validatelogs"
	"github.com/trail-operator/trail-operator/internal/cli/webhookconfig"
)

// Exit codes, for every command. A command that answers yes or no by its exit
// code returns an error with the method ExitCode() int for its no.
const (
	ExitDone   = 0
	ExitFailed = 2
)

const long = `Trail Operator records who did what in this cluster and delivers it as signed
CloudTrail log files to your bucket. This plugin shows how trails are doing,
validates what they have delivered and helps to set them up.

Exit codes: 0 done; 1 the answer is no (validate-logs: the trail is not valid;
doctor: there are problems); 2 the command could not be carried out, the error says why.`

// completer is the program that kubectl runs to complete `kubectl trail`.
const completer = "kubectl_complete-trail"

// Run carries out a command line, whose first element is the name of the
// program, and returns the exit code. Called as kubectl_complete-trail it
// completes the command line instead.
func Run(ctx context.Context, argv []string, streams genericiooptions.IOStreams) int {
	args := argv[1:]
	if strings.TrimSuffix(filepath.Base(argv[0]), ".exe") == completer {
		args = append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	root := NewCommand(streams)
	root.SetArgs(args)
	return execute(ctx, root, streams)
}

func execute(ctx context.Context, root *cobra.Command, streams genericiooptions.IOStreams) int {
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitDone
	}
	fmt.Fprintln(streams.ErrOut, "error:", line(err))
	var answer interface{ ExitCode() int }
	if errors.As(err, &answer) {
		return answer.ExitCode()
	}
	return ExitFailed
}

// line is the text of an error in one line. cobra adds its suggestions for a
// mistyped command in lines of their own.
func line(err error) string {
	text, suggestions, ok := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	if ok {
		text += "; did you mean " + strings.Join(strings.Fields(suggestions), " or ") + "?"
	}
	return text
}

// NewCommand returns the root command with all commands.
func NewCommand(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-trail",
		Short:         "CloudTrail for Kubernetes",
		Long:          long,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl trail"},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})

	flags := genericclioptions.NewConfigFlags(true)
	cluster := kube.New(flags, streams.ErrOut)
	connectionFlags(root, flags, cluster)
	root.AddCommand(
		status.NewCommand(cluster, streams, clock.RealClock{}),
		doctor.NewCommand(cluster, streams, clock.RealClock{}),
		head.NewCommand(cluster, streams),
		validatelogs.NewCommand(cluster, streams),
		grant.NewCommand(cluster, streams),
		bucketpolicy.NewCommand(cluster, streams),
		eventselectors.NewCommand(cluster, streams),
		auditpolicy.NewCommand(streams),
		doctor.NewPreflightCommand(cluster, streams, clock.RealClock{}),
		webhookconfig.NewCommand(cluster, streams, clock.RealClock{}),
		quarantine.NewCommand(cluster, streams, clock.RealClock{}),
		redeliver.NewCommand(cluster, streams, clock.RealClock{}),
	)
	return root
}

// connectionFlags adds kubectl's own flags for choosing cluster and identity.
// All of them work; help shows those that are used daily.
func connectionFlags(root *cobra.Command, flags *genericclioptions.ConfigFlags, cluster kube.Cluster) {
	// There is no discovery to cache, and Kubernetes knows no passwords any more.
	flags.CacheDir, flags.DisableCompression = nil, nil
	f := root.PersistentFlags()
	flags.AddFlags(f)
	for name, usage := range map[string]string{
		"namespace":       "namespace of the trail; that of the context if not given",
		"context":         "context of the kubeconfig",
		"kubeconfig":      "kubeconfig file",
		"as":              "user to impersonate",
		"as-group":        "group to impersonate; can be repeated",
		"request-timeout": "how long to wait for an answer of the API server, such as 30s; 0 waits forever",
	} {
		f.Lookup(name).Usage = usage
	}
	for _, name := range []string{
		"as-uid", "as-user-extra", "certificate-authority", "client-certificate", "client-key", "cluster",
		"insecure-skip-tls-verify", "proxy-url", "server", "tls-server-name", "token", "user",
	} {
		f.Lookup(name).Hidden = true
	}
	_ = root.RegisterFlagCompletionFunc("namespace", kube.CompleteNamespace(cluster))
	_ = root.RegisterFlagCompletionFunc("context", kube.CompleteContext(flags))
}
