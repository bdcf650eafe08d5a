// Package eventselectors is the command that brings selections of events to
// CloudTrail's JSON and back.
package eventselectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cloudtrailapi"
	"github.com/trail-operator/trail-operator/internal/selector"
)

const long = `Bring what a trail selects to the JSON of CloudTrail, and that JSON to an
EventSelector. Both sides say the same; the JSON is what "aws cloudtrail
get-event-selectors" prints and "aws cloudtrail put-event-selectors" takes.`

const example = `  # What a trail records, as CloudTrail says it
  kubectl trail event-selectors get audit -n shop

  # An EventSelector from the selectors of a trail at AWS
  aws cloudtrail get-event-selectors --trail-name main > selectors.json
  kubectl trail event-selectors convert -f selectors.json --name main | kubectl apply -n shop -f -`

// NewCommand returns the command.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "event-selectors",
		Short:   "Print what a trail selects as CloudTrail's JSON, and convert that to an EventSelector",
		Long:    long,
		Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("event-selectors has the commands get and convert, not %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGet(cluster, streams), newConvert(streams))
	return cmd
}

const getLong = `Print what a trail selects, as "aws cloudtrail get-event-selectors" does.

A trail that refers to EventSelectors selects what they select together. Those of
an organization trail are in the operator's namespace.`

const getExample = `  # A trail of a namespace
  kubectl trail event-selectors get audit -n shop

  # The trail of the whole cluster
  kubectl trail event-selectors get organizationtrail/all`

const resource = "eventselectors.trail-operator.io"

func newGet(cluster kube.Cluster, streams genericiooptions.IOStreams) *cobra.Command {
	operatorNamespace := kube.OperatorNamespace
	cmd := &cobra.Command{
		Use:               "get TRAIL",
		Short:             "Print what a trail selects",
		Long:              getLong,
		Example:           getExample,
		ValidArgsFunction: kube.CompleteTrail(cluster),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("get takes the name of one trail, as in: kubectl trail event-selectors get audit")
			}
			if len(validation.IsDNS1123Label(operatorNamespace)) > 0 {
				return fmt.Errorf("--operator-namespace %q is not the name of a namespace", operatorNamespace)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := get(cmd.Context(), cluster, args[0], operatorNamespace)
			if err != nil {
				return err
			}
			e := json.NewEncoder(streams.Out)
			e.SetIndent("", "    ") // as the AWS CLI does
			e.SetEscapeHTML(false)
			return e.Encode(out)
		},
	}
	cmd.Flags().StringVar(&operatorNamespace, "operator-namespace", operatorNamespace, "namespace that the operator is installed in")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	return cmd
}

func get(ctx context.Context, cluster kube.Cluster, name, operatorNamespace string) (cloudtrailapi.EventSelectors, error) {
	var none cloudtrailapi.EventSelectors
	t, err := kube.Trail(ctx, cluster, name)
	if err != nil {
		return none, err
	}
	home := t.Namespace
	if t.IsOrganizationTrail() {
		home = operatorNamespace
	}
	var present v1alpha1.EventSelectorList
	if t.RefersToEventSelectors() {
		cl, err := cluster.Client()
		if err != nil {
			return none, err
		}
		if err := cl.List(ctx, &present, client.InNamespace(home)); err != nil {
			return none, kube.Request{Verb: "list", Resource: resource, Namespace: home}.Explain(err)
		}
	}
	sel, err := selector.Effective(t, home, present.Items)
	if err != nil {
		return none, fmt.Errorf("what the trail selects cannot be told: %w", err)
	}
	out := cloudtrailapi.ToCloudTrail(sel)
	out.TrailARN = t.Status.TrailARN
	return out, nil
}
