package head

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/record"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	fresh := clitest.Trail("shop", "fresh")
	fresh.Status.Head = nil
	disabled := clitest.Trail("shop", "disabled")
	disabled.Status.Head = nil
	disabled.Spec.LogFileValidation.Mode = v1alpha1.ValidationDisabled
	c := &clitest.Cluster{Chosen: "shop", Objects: []client.Object{clitest.Trail("shop", "audit"), fresh, disabled, clitest.OrganizationTrail("all")}}
	out, errOut, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command { return NewCommand(c, s) }, args...)
	if errOut != "" {
		t.Errorf("wrote %q to the standard error output", errOut)
	}
	return out, err
}

func TestOutput(t *testing.T) {
	for name, args := range map[string][]string{
		"head.json":         {"audit"},
		"organization.json": {"otrl/all"},
		"head.yaml":         {"audit", "-o", "yaml"},
		"head.table":        {"audit", "--output=table"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out)
		})
	}
}

// The anchor is read strictly, so it must be record.Head to the letter.
func TestAnchorIsARecordHead(t *testing.T) {
	out, err := run(t, "audit")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	var got record.Head
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromStatus(clitest.Trail("shop", "audit").Status.Head), got); diff != "" {
		t.Error(diff)
	}
}

// Every field of the status has its field in the anchor, so that a new one is
// not forgotten here.
func TestFromStatusIsComplete(t *testing.T) {
	var h v1alpha1.DigestHead
	v := reflect.ValueOf(&h).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Int64:
			f.SetInt(7)
		case reflect.Bool:
			f.SetBool(true)
		default:
			t.Fatalf("a field of the kind %s", f.Kind())
		}
	}
	asMap := func(x any) map[string]any {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if diff := cmp.Diff(asMap(h), asMap(fromStatus(&h))); diff != "" {
		t.Error(diff)
	}
}

func TestErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"has no digest yet; one is delivered every hour, see `kubectl trail status fresh -n shop`": {"fresh"},
		`there is no organizationtrail named "absent"`:                                             {"organizationtrail/absent"},
		"because its logFileValidation is Disabled":                                                {"disabled"},
		`there is no trail named "absent"`:                                                         {"absent"},
		"head takes the name of one trail":                                                         {},
		`the output format "wide" is not known`:                                                    {"audit", "-o", "wide"},
	} {
		out, err := run(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("got %q and %v, want %q", out, err, want)
		}
	}
}
