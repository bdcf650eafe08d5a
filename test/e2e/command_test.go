//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// run runs a command of this machine.
func run(cmd *exec.Cmd) error {
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// user is somebody who works with kubectl on the node.
type user struct {
	e          *environment
	kubeconfig string
}

// as returns a user that is in no group.
func (e *environment) as(name string) (user, error) {
	path := filepath.Join(e.dir, name+".kubeconfig")
	return user{e, path}, e.cluster.WriteKubeconfig(path, name)
}

// command is a command line of the user, who also has the bucket's credentials.
func (u user) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := u.e.cluster.Command(ctx, name, args...)
	cmd.Env = append(cmd.Env, "KUBECONFIG="+u.kubeconfig, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
	return cmd
}

// try runs kubectl with something on its stdin and returns what it printed.
func (u user) try(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := u.command(ctx, "kubectl", args...)
	var output, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &output, &errs
	if err := u.e.cluster.Run(cmd); err != nil {
		return output.String(), fmt.Errorf("%w%s%s", err, output.Bytes(), errs.Bytes())
	}
	return output.String(), nil
}

// kubectl runs kubectl, which has to succeed.
func (u user) kubectl(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	return u.kubectlWith(ctx, t, "", args...)
}

// kubectlWith is kubectl with something on its stdin.
func (u user) kubectlWith(ctx context.Context, t *testing.T, stdin string, args ...string) string {
	t.Helper()
	output, err := u.try(ctx, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// eventually polls until check returns an empty string; what it returns else is
// what is missing. The scenario's own time is the limit.
func eventually(ctx context.Context, t *testing.T, what string, check func() string) {
	t.Helper()
	for {
		missing := check()
		if missing == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v: %s", what, ctx.Err(), missing)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
