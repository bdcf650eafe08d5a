package receiverapi

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/cli/table"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Output formats.
const (
	FormatTable = "table"
	FormatWide  = "wide"
	FormatJSON  = "json"
	FormatYAML  = "yaml"
)

var formats = []string{FormatTable, FormatWide, FormatJSON, FormatYAML}

// OutputFlag adds -o.
func OutputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", FormatTable, "table, wide, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// CheckFormat refuses a format that is not known.
func CheckFormat(output string) error {
	if !slices.Contains(formats, output) {
		return fmt.Errorf("the output format %q is not known; use table, wide, json or yaml", output)
	}
	return nil
}

// Structured writes v as JSON or YAML. It reports false for other formats.
func Structured(w io.Writer, output string, v any) (bool, error) {
	switch output {
	case FormatJSON:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return true, e.Encode(v)
	case FormatYAML:
		b, err := yaml.Marshal(v)
		if err == nil {
			_, err = w.Write(b)
		}
		return true, err
	}
	return false, nil
}

// Age is how long ago something was.
func Age(now, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return duration.HumanDuration(now.Sub(at))
}

// Outcomes writes what became of each, and returns Refused when some were.
func Outcomes(w io.Writer, output string, list []receiverstatus.KeptOutcome) error {
	if list == nil {
		list = []receiverstatus.KeptOutcome{}
	}
	refused := 0
	t := table.Table{Header: []string{"ID", "OUTCOME", "RECORDS", "REASON"}}
	for _, o := range list {
		style := table.Good
		if o.Outcome == receiverstatus.KeptRefused || o.Outcome == receiverstatus.KeptGone {
			style = table.Bad
			refused++
		}
		t.Rows = append(t.Rows, []table.Cell{
			table.Text(o.ID), {Text: o.Outcome, Style: style}, table.Text(strconv.FormatInt(o.Records, 10)), table.Text(o.Reason),
		})
	}
	done, err := Structured(w, output, receiverstatus.KeptOutcomes{Items: list})
	if !done && len(list) > 0 {
		err = t.Write(w, table.Colors(w))
	}
	if err == nil && refused > 0 {
		err = Refused(fmt.Sprintf("%d of %d were not possible", refused, len(list)))
	}
	return err
}
