// Package status is the command that shows how trails are doing.
package status

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/table"
)

const long = `Show how trails are doing: whether they are ready, what was delivered last,
what is waiting, and how many compressed bytes a day reach the bucket.

With -A, organization trails come first, if you may list them. With the name of
a trail (NAME, or organizationtrail/NAME), every condition that is not fine follows with its
message, and so does the account of its records.`

const example = `  # The trails of the current namespace
  kubectl trail status

  # All trails of the cluster, with prefix, endpoint and totals
  kubectl trail status -A -o wide

  # One trail, with what is wrong with it
  kubectl trail status audit -n shop

  # An organization trail
  kubectl trail status organizationtrail/audit

  # Wait until a trail is ready
  kubectl wait --for=condition=Ready trail/audit -n shop`

// Output formats that are treated apart.
const (
	formatWide = "wide"
	formatName = "name"
)

type options struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	clock   clock.PassiveClock
	print   *genericclioptions.PrintFlags

	allNamespaces bool
	noHeaders     bool
}

// NewCommand returns the command. Ages are measured with the clock.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &options{
		cluster: cluster, streams: streams, clock: c,
		print: genericclioptions.NewPrintFlags("").WithTypeSetter(kube.Scheme),
	}
	cmd := &cobra.Command{
		Use:               "status [TRAIL]",
		Short:             "Show how trails are doing",
		Long:              long,
		Example:           example,
		Args:              o.args,
		ValidArgsFunction: kube.CompleteTrail(cluster),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	o.print.AddFlags(cmd)
	output := cmd.Flags().Lookup("output")
	output.Usage = "wide, json, yaml, name, jsonpath=TEMPLATE, go-template=TEMPLATE or another output format of kubectl get"
	cmd.Flags().Lookup("template").Usage = "template, or file with a template, for -o go-template and jsonpath"
	cmd.Flags().Lookup("show-managed-fields").Usage = "keep managedFields in JSON and YAML"
	_ = cmd.Flags().MarkHidden("allow-missing-template-keys")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{formatWide, "json", "yaml", formatName}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "show the trails of all namespaces")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave out the header of the table")
	return cmd
}

func (o *options) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return errors.New("status takes the name of one trail, or none for all of the namespace")
	case len(args) == 1 && o.allNamespaces:
		return errors.New("a trail is named within a namespace: use -n NAMESPACE instead of -A, or leave the name out")
	}
	return nil
}

func (o *options) run(ctx context.Context, args []string) error {
	wide := *o.print.OutputFormat == formatWide
	structured := *o.print.OutputFormat != "" && !wide || *o.print.TemplatePrinterFlags.TemplateArgument != ""
	if structured {
		if err := o.checkFormat(); err != nil {
			return err
		}
	}
	if len(args) == 1 {
		t, err := kube.Trail(ctx, o.cluster, args[0])
		if err != nil {
			return err
		}
		if structured {
			return o.printObject(object(t))
		}
		if err := o.table([]v1alpha1.Trail{*t}, wide); err != nil {
			return err
		}
		return o.detail(t)
	}
	if o.allNamespaces {
		return o.all(ctx, structured, wide)
	}
	ns, err := o.cluster.Namespace()
	if err != nil {
		return err
	}
	list, err := kube.Trails(ctx, o.cluster, ns)
	if err != nil {
		return err
	}
	if structured {
		return o.printObject(list)
	}
	if len(list.Items) == 0 {
		fmt.Fprintf(o.streams.ErrOut, "There is no trail in namespace %q.\n", ns)
		return nil
	}
	return o.table(list.Items, wide)
}

// all shows the trails of all namespaces and those of the organization.
func (o *options) all(ctx context.Context, structured, wide bool) error {
	trails, withheld, err := kube.AllTrails(ctx, o.cluster)
	if err != nil {
		return err
	}
	if withheld != nil {
		fmt.Fprintf(o.streams.ErrOut, "note: %s\n", withheld)
	}
	if structured {
		list := &corev1.List{Items: make([]runtime.RawExtension, len(trails))}
		for i := range trails {
			list.Items[i].Object = object(&trails[i])
		}
		return o.printObject(list)
	}
	if len(trails) == 0 {
		fmt.Fprintln(o.streams.ErrOut, "There is no trail in any namespace.")
		return nil
	}
	return o.table(trails, wide)
}

// object is t as the API server knows it.
func object(t *v1alpha1.Trail) runtime.Object {
	if t.IsOrganizationTrail() {
		return t.AsOrganizationTrail()
	}
	return t
}

func (o *options) checkFormat() error {
	_, err := o.print.ToPrinter()
	if genericclioptions.IsNoCompatiblePrinterError(err) {
		return fmt.Errorf("the output format %q is not known; use wide, json, yaml, name, jsonpath=TEMPLATE or go-template=TEMPLATE", *o.print.OutputFormat)
	}
	return err
}

func (o *options) printObject(obj runtime.Object) error {
	p, err := o.print.ToPrinter()
	if err != nil {
		return err
	}
	if *o.print.OutputFormat != formatName || !meta.IsListType(obj) {
		return p.PrintObj(obj, o.streams.Out)
	}
	items, err := meta.ExtractList(obj)
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := p.PrintObj(item, o.streams.Out); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) table(trails []v1alpha1.Trail, wide bool) error {
	t := overview(trails, o.clock.Now(), o.allNamespaces, wide)
	if o.noHeaders {
		t.Header = nil
	}
	return t.Write(o.streams.Out, table.Colors(o.streams.Out))
}
