// Package auditpolicy is the command that prints an audit policy for
// kube-apiserver.
package auditpolicy

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
)

const long = `Print the audit policy that kube-apiserver reads from --audit-policy-file.

The standard policy serves every trail, whatever it selects, so that no change
of a trail asks for a restart of an API server. The minimal policy records
writes, sessions into pods and nodes, and access to Secrets, without any bodies;
trails that select reads stay empty with it.

The cluster is not asked for anything.`

const example = `  kubectl trail audit-policy > /etc/kubernetes/audit/policy.yaml`

// NewCommand returns the command.
func NewCommand(streams genericiooptions.IOStreams) *cobra.Command {
	var minimal bool
	cmd := &cobra.Command{
		Use:               "audit-policy",
		Short:             "Print the audit policy for kube-apiserver",
		Long:              long,
		Example:           example,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			profile := auditpolicy.Standard
			if minimal {
				profile = auditpolicy.Minimal
			}
			b, err := profile.YAML()
			if err != nil {
				return err
			}
			_, err = streams.Out.Write(b)
			return err
		},
	}
	cmd.Flags().BoolVar(&minimal, "minimal", false, "record writes, sessions and access to Secrets only, without bodies")
	return cmd
}
