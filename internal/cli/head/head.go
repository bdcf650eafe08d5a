// Package head is the command that prints the newest digest of a trail.
package head

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/table"
	"github.com/trail-operator/trail-operator/internal/record"
)

const long = `Print the head of a trail: the newest digest of its chain, as its status has it.

Kept outside the bucket, for example in a ticket, a Git repository or on paper,
the JSON is an anchor: "kubectl trail validate-logs --head anchor.json" notices
when that digest, or any before it, is missing or was changed.`

const example = `  # Keep an anchor
  kubectl trail head audit -n shop > anchor.json

  # That of an organization trail
  kubectl trail head organizationtrail/audit > anchor.json

  # For people
  kubectl trail head audit -n shop -o table`

// Output formats.
const (
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatTable = "table"
)

// NewCommand returns the command.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams) *cobra.Command {
	output := formatJSON
	cmd := &cobra.Command{
		Use:               "head TRAIL",
		Short:             "Print the newest digest of a trail, as an anchor for validate-logs",
		Long:              long,
		Example:           example,
		ValidArgsFunction: kube.CompleteTrail(cluster),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("head takes the name of one trail, as in: kubectl trail head audit")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := formats[output]
			if !ok {
				return fmt.Errorf("the output format %q is not known; use json, yaml or table", output)
			}
			h, err := read(cmd.Context(), cluster, args[0])
			if err != nil {
				return err
			}
			return write(streams.Out, h)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "json, yaml or table")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{formatJSON, formatYAML, formatTable}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func read(ctx context.Context, cluster kube.Cluster, name string) (record.Head, error) {
	t, err := kube.Trail(ctx, cluster, name)
	if err != nil {
		return record.Head{}, err
	}
	h := t.Status.Head
	switch {
	case h != nil:
		return fromStatus(h), nil
	case !t.Spec.LogFileValidation.IsEnabled():
		return record.Head{}, fmt.Errorf("trail %q has no digest, because its logFileValidation is Disabled", name)
	default:
		return record.Head{}, fmt.Errorf("trail %q has no digest yet; one is delivered every hour, see `kubectl trail status %s`",
			name, kube.CommandLine(t))
	}
}

// fromStatus gives the head the form in which the verifier reads it.
func fromStatus(h *v1alpha1.DigestHead) record.Head {
	return record.Head{
		TrailARN: h.TrailARN, ChainID: h.ChainID, Sequence: h.Sequence, Bucket: h.S3Bucket, Object: h.S3Object,
		HashValue: h.HashValue, Signature: h.Signature, EndTime: h.EndTime, Final: h.Final,
		Fingerprint: h.PublicKeyFingerprint, Trust: h.PublicKeySHA256,
	}
}

var formats = map[string]func(io.Writer, record.Head) error{
	formatJSON:  writeJSON,
	formatYAML:  writeYAML,
	formatTable: writeTable,
}

func writeJSON(w io.Writer, h record.Head) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(h)
}

func writeYAML(w io.Writer, h record.Head) error {
	b, err := yaml.Marshal(h)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func writeTable(w io.Writer, h record.Head) error {
	final := "no"
	if h.Final {
		final = "yes"
	}
	t := table.Table{}
	for _, row := range [][2]string{
		{"Trail", h.TrailARN},
		{"Chain", h.ChainID},
		{"Digest number", strconv.FormatInt(h.Sequence, 10)},
		{"Covers until", h.EndTime},
		{"Last of its chain", final},
		{"Bucket", h.Bucket},
		{"Object", h.Object},
		{"SHA-256", h.HashValue},
		{"Signed by key", h.Fingerprint},
		{"--trust", h.Trust},
	} {
		t.Rows = append(t.Rows, []table.Cell{table.Text(row[0]), table.Text(row[1])})
	}
	return t.Write(w, table.Colors(w))
}
