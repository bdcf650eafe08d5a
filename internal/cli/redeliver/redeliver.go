// Package redeliver is the command that saves log files which a trail has given
// up, or left behind when it was deleted, while the receiver still has them.
package redeliver

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

const long = `Deliver log files that a trail has given up, while the receiver still has them.

"expired" files are those of a trail whose bucket was away for so long that they
exceeded its quota, or that had to make room. They are counted as lost, and stay on
the receiver's volume for up to 30 days while nobody needs their room: a quarter of
the trail's quota at most. Delivered after all, they go where the trail delivers to
now, under their keys, are listed in its next digest, and a record EventsRedelivered
names each. That happens as soon as the bucket answers; a suspended trail delivers
them when it records again.

"abandoned" files are those of a trail that was deleted before everything was
delivered. The receiver has no credentials for them any more: save them with --to-dir,
and put them where you want. They stay for 30 days, if their room is not needed.

With --to-dir, files are written to a folder, under their keys, and their SHA-256 is
compared with the one that they had when they were written. Nothing else changes.

This speaks to the receiver with the manager's certificate: it needs get on the
Secret trail-manager-tls and the ConfigMap trail-installation of the operator's
namespace, and create on pods/portforward there. That is for who installs the operator.`

const example = `  # What could be delivered, of all trails, and of one
  kubectl trail redeliver --list
  kubectl trail redeliver --list audit -n shop

  # Deliver what the trail has given up
  kubectl trail redeliver audit -n shop

  # Save what a deleted trail has left
  kubectl trail redeliver --list
  kubectl trail redeliver --all --to-dir saved`

type options struct {
	receiverapi.Access
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	clock   clock.PassiveClock
	output  string

	list, all bool
	dir       string
}

var kinds = []string{receiverstatus.KeptAbandoned, receiverstatus.KeptExpired}

// maxFiles bounds what one command works on.
const maxFiles = 100_000

// NewCommand returns the command. Ages are measured with the clock.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &options{cluster: cluster, streams: streams, clock: c}
	cmd := &cobra.Command{
		Use:               "redeliver TRAIL | ID... | --all [--list | --to-dir DIR]",
		Short:             "Deliver, or save, log files that a trail has given up or left behind",
		Long:              long,
		Example:           example,
		ValidArgsFunction: kube.CompleteTrail(cluster),
		Args:              o.args,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	o.AddFlags(cmd, cluster)
	receiverapi.OutputFlag(cmd, &o.output)
	f := cmd.Flags()
	f.BoolVar(&o.list, "list", false, "list the files instead")
	f.BoolVar(&o.all, "all", false, "those of all trails")
	f.StringVar(&o.dir, "to-dir", "", "write the files to this folder instead of delivering them")
	cmd.MarkFlagsMutuallyExclusive("list", "to-dir")
	_ = cmd.MarkFlagDirname("to-dir")
	return cmd
}

func (o *options) args(_ *cobra.Command, args []string) error {
	switch {
	case o.all && len(args) > 0:
		return errors.New("--all is for all trails: name none, or leave it out")
	case !o.all && !o.list && len(args) == 0:
		return errors.New("redeliver takes a trail, IDs or --all; see `kubectl trail redeliver --list`")
	case len(args) > 1 && !slices.ContainsFunc(args, isID):
		return errors.New("redeliver takes one trail")
	case len(args) > 1 && slices.ContainsFunc(args, func(a string) bool { return !isID(a) }):
		return errors.New("redeliver takes a trail, or IDs, not both")
	}
	return receiverapi.CheckFormat(o.output)
}

// isID tells an ID from the name of a trail, which has no UUID at its end.
func isID(arg string) bool {
	for _, kind := range kinds {
		if rest, ok := strings.CutPrefix(arg, kind+"-"); ok && strings.Count(rest, "-") >= 2 {
			return true
		}
	}
	return false
}

func (o *options) run(ctx context.Context, args []string) error {
	uid := ""
	if len(args) == 1 && !isID(args[0]) {
		t, err := kube.Trail(ctx, o.cluster, args[0])
		if err != nil {
			return err
		}
		uid, args = string(t.UID), nil
	}
	c, done, err := o.Connect(ctx, o.cluster)
	if err != nil {
		return err
	}
	defer done()
	files, err := o.find(ctx, c, uid, args)
	switch {
	case err != nil:
		return err
	case o.list:
		return o.show(ctx, files)
	case len(files) == 0:
		fmt.Fprintln(o.streams.ErrOut, "There is nothing to deliver.")
		return nil
	case o.dir != "":
		return o.save(ctx, c, files)
	}
	return o.deliver(ctx, c, files)
}

// find reads what is kept: all, that of one trail, or what has the IDs.
func (o *options) find(ctx context.Context, c *receiverclient.Client, uid string, ids []string) (files []receiverstatus.Kept, err error) {
	if len(ids) > 0 {
		for _, id := range ids {
			k, err := c.KeptOne(ctx, id)
			if errors.Is(err, receiverclient.ErrNotKept) {
				return nil, fmt.Errorf("no file is kept as %q, or no more; see `kubectl trail redeliver --list`", id)
			}
			if err != nil {
				return nil, err
			}
			files = append(files, *k)
		}
		return files, nil
	}
	more, err := receiverapi.Each(ctx, c, kinds, uid, "", func(k receiverstatus.Kept) bool {
		if len(files) == maxFiles {
			return false
		}
		files = append(files, k)
		return true
	})
	if more != "" {
		fmt.Fprintf(o.streams.ErrOut, "note: only the first %d files are taken; repeat the command for the others\n", maxFiles)
	}
	return files, err
}

// names are those of the trails that are there, by their UIDs, as far as they
// may be read.
func (o *options) names(ctx context.Context) map[string]string {
	names := map[string]string{}
	trails, _, err := kube.AllTrails(ctx, o.cluster)
	if err != nil {
		return names // the UIDs are shown
	}
	for i := range trails {
		names[string(trails[i].UID)] = strings.TrimPrefix(trails[i].Namespace+"/"+kube.Argument(&trails[i]), "/")
	}
	return names
}

func (o *options) show(ctx context.Context, files []receiverstatus.Kept) error {
	if files == nil {
		files = []receiverstatus.Kept{}
	}
	if done, err := receiverapi.Structured(o.streams.Out, o.output, receiverstatus.KeptList{Items: files}); done {
		return err
	}
	if len(files) == 0 {
		fmt.Fprintln(o.streams.ErrOut, "No trail has given up files that the receiver still has.")
		return nil
	}
	wide := o.output == receiverapi.FormatWide
	t := table.Table{Header: []string{"ID", "KIND", "TRAIL", "AGE", "RECORDS", "SIZE", "OLDEST EVENT", "ASKED FOR", "UNTIL"}}
	if wide {
		t.Header = append(t.Header, "SHA-256", "KEY", "REASON")
	}
	names := o.names(ctx)
	for i := range files {
		k := &files[i]
		oldest, until, asked := "", "", ""
		if k.Oldest != nil {
			oldest = k.Oldest.UTC().Format("2006-01-02T15:04Z")
		}
		if k.Until != nil {
			until = k.Until.UTC().Format("2006-01-02T15:04Z")
		}
		if k.Asked != nil {
			asked = receiverapi.Age(o.clock.Now(), *k.Asked) + " ago"
		}
		row := []table.Cell{
			table.Text(k.ID), table.Text(k.Kind), table.Text(cmp.Or(names[k.Trail], k.TrailName, k.Trail)), table.Text(receiverapi.Age(o.clock.Now(), k.Time)),
			table.Text(strconv.FormatInt(k.Records, 10)), table.Text(table.Bytes(k.Bytes)), table.Text(oldest), table.Text(asked), table.Text(until),
		}
		if wide {
			row = append(row, table.Text(k.SHA256), table.Text(k.Key), table.Text(k.Reason))
		}
		t.Rows = append(t.Rows, row)
	}
	return t.Write(o.streams.Out, table.Colors(o.streams.Out))
}

// deliver asks for the delivery of what a trail can still deliver.
func (o *options) deliver(ctx context.Context, c *receiverclient.Client, files []receiverstatus.Kept) error {
	ids := make([]string, 0, len(files))
	for i := range files {
		ids = append(ids, files[i].ID)
	}
	list, err := c.Redeliver(ctx, ids)
	if err != nil {
		return fmt.Errorf("%w; what was asked for before is not delivered twice: repeat the command", err)
	}
	return receiverapi.Outcomes(o.streams.Out, o.output, list)
}
