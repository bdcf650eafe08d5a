package eventselectors

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cloudtrailapi"
)

const convertLong = `Print the EventSelector that selects what a JSON of CloudTrail does: the input of
PutEventSelectors, the output of GetEventSelectors, or the list alone that
--event-selectors and --advanced-event-selectors of the AWS CLI take. What has no
meaning in a cluster is refused. Nothing is applied.`

const convertExample = `  # From a file
  kubectl trail event-selectors convert -f put-event-selectors.json --name main

  # From AWS into the cluster
  aws cloudtrail get-event-selectors --trail-name main \
    | kubectl trail event-selectors convert -f - --name main | kubectl apply -n shop -f -`

// manifest is an EventSelector without a status, as users write it.
type manifest struct {
	APIVersion string                     `json:"apiVersion"`
	Kind       string                     `json:"kind"`
	Metadata   metadata                   `json:"metadata"`
	Spec       v1alpha1.EventSelectorSpec `json:"spec"`
}

type metadata struct {
	Name string `json:"name"`
}

func newConvert(streams genericiooptions.IOStreams) *cobra.Command {
	var file, name string
	cmd := &cobra.Command{
		Use:     "convert -f FILE --name NAME",
		Short:   "Print the EventSelector of a JSON of CloudTrail",
		Long:    convertLong,
		Example: convertExample,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 || file == "" || name == "":
				return errors.New("convert takes -f FILE, or - for the standard input, and --name NAME")
			case len(validation.IsDNS1123Subdomain(name)) > 0:
				return fmt.Errorf("--name %q is not the name of an EventSelector: lower-case letters, digits, hyphens and dots", name)
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			raw, err := read(file, streams.In)
			if err != nil {
				return err
			}
			in, err := cloudtrailapi.ParseEventSelectors(raw)
			if err != nil {
				return err
			}
			sel, err := cloudtrailapi.FromCloudTrail(in)
			if err != nil {
				return err
			}
			b, err := yaml.Marshal(manifest{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "EventSelector", Metadata: metadata{name},
				Spec: v1alpha1.EventSelectorSpec{EventSelection: sel},
			})
			if err != nil {
				return err
			}
			_, err = streams.Out.Write(b)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with the JSON; - is the standard input")
	cmd.Flags().StringVar(&name, "name", "", "name of the EventSelector")
	_ = cmd.MarkFlagFilename("filename", "json")
	_ = cmd.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
	return cmd
}

// read returns the content of a file or of in, bounded.
func read(file string, in io.Reader) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading --filename: %w", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, cloudtrailapi.MaxEventSelectors+1))
	if err != nil {
		return nil, fmt.Errorf("reading --filename: %w", err)
	}
	return raw, nil
}
