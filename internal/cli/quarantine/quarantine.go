// Package quarantine is the command that shows what could not become a record,
// and replays what a later version understands.
package quarantine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/receiverapi"
	"github.com/trail-operator/trail-operator/internal/cli/table"
	"github.com/trail-operator/trail-operator/internal/receiverclient"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

const long = `Show what the receiver keeps because it could not become a record, and replay it
when a later version understands it.

Kinds: "item" is an item of a POST that is no audit event that this version knows;
"chunk" is a part of the spool, and "file" a file of a trail, that the volume has
damaged. What is kept is bounded: 1,000 items of 64 MiB for 30 days, and 100 chunks
and 100 files; the oldest go first. Each has its record EventQuarantined or
EventsLost in the trails.

No content is shown. Of an item you see its shape: brackets, the names of the audit
API, and the values of kind, apiVersion, level, stage, verb, auditID and the times,
where they are such. Everything else is "*" or ?, so that no credential is shown,
also where the JSON is broken.

This speaks to the receiver with the manager's certificate: it needs get on the
Secret trail-manager-tls and the ConfigMap trail-installation of the operator's
namespace, and create on pods/portforward there. That is for who installs the
operator: an item that could not be read belongs to no namespace.`

const example = `  # What is in quarantine
  kubectl trail quarantine list

  # One item, masked
  kubectl trail quarantine show item-1795233600000-6d3d562b462cee0b

  # After an upgrade: record what is understood now
  kubectl trail quarantine replay --all`

// defaultLimit is how many are listed unless more are asked for; maxLimit is the most.
const (
	defaultLimit = 500
	maxLimit     = 10_000
)

var defaultKinds = []string{receiverstatus.KeptItem, receiverstatus.KeptChunk, receiverstatus.KeptFile}

type options struct {
	receiverapi.Access
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	clock   clock.PassiveClock
	output  string

	kinds []string
	limit int
	after string
	all   bool
}

// NewCommand returns the command. Ages are measured with the clock.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &options{cluster: cluster, streams: streams, clock: c}
	cmd := &cobra.Command{
		Use: "quarantine", Short: "Show and replay what could not become a record", Long: long, Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("quarantine takes list, show or replay, not %q", strings.Join(args, " "))
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.AddFlags(cmd, cluster)
	cmd.AddCommand(o.listCommand(), o.showCommand(), o.replayCommand())
	return cmd
}

func (o *options) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List what is in quarantine, the oldest first", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: o.run(func(ctx context.Context, c *receiverclient.Client, _ []string) error { return o.list(ctx, c) }),
	}
	receiverapi.OutputFlag(cmd, &o.output)
	f := cmd.Flags()
	f.StringSliceVar(&o.kinds, "kind", defaultKinds, "kinds to list: item, chunk, file; expired and abandoned are those of `kubectl trail redeliver`")
	f.IntVar(&o.limit, "limit", defaultLimit, "how many to list, at most 10000")
	f.StringVar(&o.after, "continue", "", "list what follows this ID")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(receiverstatus.KeptKinds[:], cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *options) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one with its masked copy", ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("show takes one ID; see `kubectl trail quarantine list`")
			}
			return nil
		},
		RunE: o.run(func(ctx context.Context, c *receiverclient.Client, args []string) error {
			return o.show(ctx, c, args[0])
		}),
	}
	receiverapi.OutputFlag(cmd, &o.output)
	return cmd
}

func (o *options) replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay ID... | --all", Short: "Record items that are understood now, as if they had just come", ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Treat items in quarantine as if they had just come. Those that can become records now
are recorded once, marked with "replayed": true in additionalEventData, whatever
happens meanwhile; a second replay does nothing. The others stay where they are.`,
		Args: func(_ *cobra.Command, args []string) error {
			if o.all == (len(args) > 0) {
				return errors.New("replay takes IDs, or --all; see `kubectl trail quarantine list`")
			}
			return nil
		},
		RunE: o.run(o.replay),
	}
	receiverapi.OutputFlag(cmd, &o.output)
	cmd.Flags().BoolVar(&o.all, "all", false, "replay everything that is kept whole and was not replayed yet")
	return cmd
}

// run connects for the time of a command.
func (o *options) run(do func(context.Context, *receiverclient.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		c, done, err := o.Connect(cmd.Context(), o.cluster)
		if err != nil {
			return err
		}
		defer done()
		return do(cmd.Context(), c, args)
	}
}

func (o *options) check() error {
	for _, kind := range o.kinds {
		if !slices.Contains(receiverstatus.KeptKinds[:], kind) {
			return fmt.Errorf("the kind %q is not known; use item, chunk, file, expired or abandoned", kind)
		}
	}
	if o.limit < 0 || o.limit > maxLimit {
		return fmt.Errorf("--limit must be from 1 to %d", maxLimit)
	}
	return receiverapi.CheckFormat(o.output)
}

func (o *options) list(ctx context.Context, c *receiverclient.Client) error {
	page := receiverstatus.KeptList{Items: []receiverstatus.Kept{}}
	var err error
	page.Continue, err = receiverapi.Each(ctx, c, o.kinds, "", o.after, func(k receiverstatus.Kept) bool {
		if len(page.Items) == cmp.Or(o.limit, defaultLimit) {
			return false
		}
		page.Items = append(page.Items, k)
		return true
	})
	if err != nil {
		return err
	}
	if done, err := receiverapi.Structured(o.streams.Out, o.output, page); done {
		return err
	}
	if len(page.Items) == 0 {
		fmt.Fprintln(o.streams.ErrOut, "Nothing is in quarantine.")
		return nil
	}
	if err := o.table(page.Items).Write(o.streams.Out, table.Colors(o.streams.Out)); err != nil {
		return err
	}
	if page.Continue != "" {
		fmt.Fprintf(o.streams.ErrOut, "There are more: --continue %s\n", page.Continue)
	}
	return nil
}

func (o *options) table(items []receiverstatus.Kept) table.Table {
	wide := o.output == receiverapi.FormatWide
	t := table.Table{Header: []string{"ID", "AGE", "SOURCE", "SIZE", "REPLAY", "REASON"}}
	if wide {
		t.Header = append(t.Header, "SHA-256", "UNTIL")
	}
	for _, k := range items {
		row := []table.Cell{
			table.Text(k.ID), table.Text(receiverapi.Age(o.clock.Now(), k.Time)), table.Text(cmp.Or(k.Source, k.Trail)),
			table.Text(table.Bytes(k.Bytes)), replayCell(&k), table.Text(k.Reason),
		}
		if wide {
			row = append(row, table.Text(k.SHA256), table.Text(until(&k)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func replayCell(k *receiverstatus.Kept) table.Cell {
	switch {
	case k.Replayed != nil:
		return table.Cell{Text: "replayed", Style: table.Good}
	case k.Replayable:
		return table.Text("possible")
	}
	return table.Text("")
}

func until(k *receiverstatus.Kept) string {
	if k.Until == nil {
		return ""
	}
	return k.Until.UTC().Format("2006-01-02T15:04Z")
}

func (o *options) show(ctx context.Context, c *receiverclient.Client, id string) error {
	k, err := c.KeptOne(ctx, id)
	if errors.Is(err, receiverclient.ErrNotKept) {
		return fmt.Errorf("nothing is kept as %q, or no more; see `kubectl trail quarantine list`", id)
	}
	if err != nil {
		return err
	}
	if done, err := receiverapi.Structured(o.streams.Out, o.output, k); done {
		return err
	}
	t := table.Table{}
	for _, row := range [][2]string{
		{"ID", k.ID},
		{"Since", k.Time.UTC().Format("2006-01-02T15:04:05Z")},
		{"Until", until(k)},
		{"Source", k.Source},
		{"Trail", k.Trail},
		{"Reason", k.Reason},
		{"Size", strconv.FormatInt(k.Bytes, 10) + " bytes"},
		{"SHA-256", k.SHA256},
		{"Key", k.Key},
		{"Replay", replayCell(k).Text},
		{"Masked copy", k.Copy},
	} {
		if row[1] != "" {
			t.Rows = append(t.Rows, []table.Cell{table.Text(row[0]), table.Text(row[1])})
		}
	}
	return t.Write(o.streams.Out, table.Colors(o.streams.Out))
}

func (o *options) replay(ctx context.Context, c *receiverclient.Client, ids []string) error {
	if o.all {
		if _, err := receiverapi.Each(ctx, c, []string{receiverstatus.KeptItem}, "", "", func(k receiverstatus.Kept) bool {
			if k.Replayable {
				ids = append(ids, k.ID)
			}
			return true
		}); err != nil {
			return err
		}
		if len(ids) == 0 {
			fmt.Fprintln(o.streams.ErrOut, "Nothing in quarantine can be replayed.")
		}
	}
	list, err := c.Replay(ctx, ids)
	if err != nil {
		return fmt.Errorf("%w; what was replayed before is not replayed again: repeat the command", err)
	}
	return receiverapi.Outcomes(o.streams.Out, o.output, list)
}
