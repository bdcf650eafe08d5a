package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func run(t *testing.T, argv ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("KUBECONFIG", t.TempDir()+"/absent")
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	code = Run(t.Context(), argv, streams)
	return code, out.String(), errOut.String()
}

func TestRun(t *testing.T) {
	for name, tc := range map[string]struct {
		argv           []string
		code           int
		stdout, stderr string
	}{
		"bare":             {[]string{"kubectl-trail"}, ExitDone, "kubectl trail [command]", ""},
		"help":             {[]string{"/bin/kubectl-trail", "status", "--help"}, ExitDone, "kubectl trail status [TRAIL] [flags]", ""},
		"policy":           {[]string{"kubectl-trail", "audit-policy"}, ExitDone, "kind: Policy", ""},
		"unknown command":  {[]string{"kubectl-trail", "statsu"}, ExitFailed, "", `error: unknown command "statsu" for "kubectl trail"; did you mean status?`},
		"unknown flag":     {[]string{"kubectl-trail", "status", "--al"}, ExitFailed, "", "error: unknown flag: --al; see `kubectl trail status --help`"},
		"missing argument": {[]string{"kubectl-trail", "head"}, ExitFailed, "", "error: head takes the name of one trail"},
		"kubeconfig":       {[]string{"kubectl-trail", "--kubeconfig", "/absent/file", "status"}, ExitFailed, "", "error: there is no usable cluster configuration"},
		"context":          {[]string{"kubectl-trail", "--context", "absent", "status"}, ExitFailed, "", "choose one with --kubeconfig and --context"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := run(t, tc.argv...)
			if code != tc.code || !strings.Contains(out, tc.stdout) || !strings.Contains(errOut, tc.stderr) {
				t.Errorf("got %d, %q, %q", code, out, errOut)
			}
			if code != ExitDone && (out != "" || strings.Count(errOut, "\n") != 1) {
				t.Errorf("an error is one line on the standard error output, got %q and %q", out, errOut)
			}
		})
	}
}

// kubectl runs kubectl_complete-trail with the words behind `kubectl trail`.
func TestCompletion(t *testing.T) {
	for name, tc := range map[string]struct {
		argv []string
		want []string
	}{
		"commands":      {[]string{"/usr/bin/kubectl_complete-trail", ""}, []string{"audit-policy\t", "grant\t", "head\t", "status\t", "validate-logs\t", "webhook-config\t"}},
		"windows":       {[]string{"kubectl_complete-trail.exe", "he"}, []string{"head\t"}},
		"through cobra": {[]string{"kubectl-trail", "__complete", "status", "--output", ""}, []string{"wide\n", "json\n", "yaml\n", "name\n"}},
		"flags":         {[]string{"kubectl_complete-trail", "status", "--names"}, []string{"--namespace\t"}},
		"no cluster":    {[]string{"kubectl_complete-trail", "--kubeconfig", "/absent/file", "head", ""}, []string{":4\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, _ := run(t, tc.argv...)
			for _, want := range tc.want {
				if code != ExitDone || !strings.Contains(out, want) {
					t.Errorf("got %d and %q, want %q", code, out, want)
				}
			}
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, _ := run(t, "kubectl-trail", "completion", shell); code != ExitDone || !strings.Contains(out, "kubectl-trail") {
			t.Errorf("no script for %s", shell)
		}
	}
}

func TestKubectlFlagsWork(t *testing.T) {
	root := NewCommand(genericiooptions.NewTestIOStreamsDiscard())
	for _, name := range []string{"namespace", "context", "kubeconfig", "as", "server", "token", "certificate-authority"} {
		if root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("--%s is missing", name)
		}
	}
}

// No two flags of a command may collide, which cobra tells only when used; and
// every command says what it is for.
func TestEveryCommandHasHelp(t *testing.T) {
	root := NewCommand(genericiooptions.NewTestIOStreamsDiscard())
	for _, cmd := range root.Commands() {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks an explanation or an example", cmd.Name())
		}
		if !strings.Contains(cmd.UsageString(), "kubectl trail "+cmd.Name()) {
			t.Errorf("the usage of %s does not show kubectl trail", cmd.Name())
		}
		if strings.Contains(cmd.Example, "kubectl-trail") {
			t.Errorf("the examples of %s do not show kubectl trail", cmd.Name())
		}
	}
}

type no struct{}

func (no) Error() string { return "no" }
func (no) ExitCode() int { return 1 }

func TestExitCodes(t *testing.T) {
	streams := genericiooptions.NewTestIOStreamsDiscard()
	for want, err := range map[int]error{0: nil, 1: fmt.Errorf("wrapped: %w", no{}), 2: errors.New("x")} {
		cmd := &cobra.Command{RunE: func(*cobra.Command, []string) error { return err }, SilenceErrors: true, SilenceUsage: true}
		cmd.SetArgs([]string{})
		if got := execute(t.Context(), cmd, streams); got != want {
			t.Errorf("%v ends with %d", err, got)
		}
	}
}
