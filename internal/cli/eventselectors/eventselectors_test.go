package eventselectors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cloudtrailapi"
)

var (
	writes = v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly}}}
	execs  = v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{Name: "sessions & more", FieldSelectors: []v1alpha1.FieldSelector{
		{Field: v1alpha1.FieldEventCategory, Equals: []string{"Management"}},
		{Field: v1alpha1.FieldEventName, Equals: []string{"ExecPod", "AttachPod"}},
	}}}}
)

func cluster() *clitest.Cluster {
	trail := func(name string, change func(*v1alpha1.TrailSpec)) *v1alpha1.Trail {
		t := clitest.Trail("shop", name)
		change(&t.Spec)
		return t
	}
	refs := func(names ...string) func(*v1alpha1.TrailSpec) {
		return func(s *v1alpha1.TrailSpec) {
			for _, n := range names {
				s.EventSelectorRefs = append(s.EventSelectorRefs, v1alpha1.EventSelectorRef{Name: n})
			}
		}
	}
	selects := func(ns, name string, sel v1alpha1.EventSelection) *v1alpha1.EventSelector {
		return &v1alpha1.EventSelector{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"for": "audit"}},
			Spec:       v1alpha1.EventSelectorSpec{EventSelection: sel},
		}
	}
	organization := trail("all", refs("writes"))
	organization.Namespace, organization.Status.TrailARN = "", "arn:k8s:cloudtrail:eu-central-1:000000000042:trail/all"
	return &clitest.Cluster{Chosen: "shop", Objects: []client.Object{
		trail("plain", func(*v1alpha1.TrailSpec) {}),
		trail("inline", func(s *v1alpha1.TrailSpec) { s.EventSelectors = &writes }),
		trail("named", refs("writes", "execs")),
		trail("labeled", func(s *v1alpha1.TrailSpec) {
			s.EventSelectorLabels = &metav1.LabelSelector{MatchLabels: map[string]string{"for": "audit"}}
		}),
		trail("lost", refs("absent")),
		organization.AsOrganizationTrail(),
		selects("shop", "writes", writes), selects("shop", "execs", execs), selects("trail-operator-system", "writes", execs),
	}}
}

func run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	out, errOut, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		s.In = strings.NewReader(stdin)
		return NewCommand(cluster(), s)
	}, args...)
	if errOut != "" {
		t.Errorf("wrote %q to the standard error output", errOut)
	}
	return out, err
}

func TestGet(t *testing.T) {
	for name, args := range map[string][]string{
		"plain.json": {"plain"}, "inline.json": {"trail/inline"}, "named.json": {"named"}, "organization.json": {"organizationtrail/all"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, "", append([]string{"get"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out)
			if _, err := cloudtrailapi.ParseEventSelectors([]byte(out)); err != nil {
				t.Error(err)
			}
		})
	}
	named, _ := run(t, "", "get", "named")
	labeled, err := run(t, "", "get", "labeled")
	if d := cmp.Diff(strings.ReplaceAll(named, "shop.named", ""), strings.ReplaceAll(labeled, "shop.labeled", "")); err != nil || d != "" {
		t.Error(err, d)
	}
}

func TestConvert(t *testing.T) {
	files, err := filepath.Glob("../../cloudtrailapi/testdata/eventselectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			out, err := run(t, "", "convert", "-f", file, "--name", name)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name+".yaml", out)
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			piped, err := run(t, string(raw), "convert", "--filename=-", "--name="+name)
			if err != nil || piped != out {
				t.Errorf("the standard input gives %v and %s", err, piped)
			}
			var e v1alpha1.EventSelector
			if err := yaml.UnmarshalStrict([]byte(out), &e); err != nil || e.Name != name {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}

// TestThereAndBack: what get prints is what convert takes.
func TestThereAndBack(t *testing.T) {
	printed, err := run(t, "", "get", "named")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, printed, "convert", "-f", "-", "--name", "copy")
	if err != nil {
		t.Fatal(err)
	}
	var e v1alpha1.EventSelector
	if err := yaml.UnmarshalStrict([]byte(out), &e); err != nil {
		t.Fatal(err)
	}
	want, err := cloudtrailapi.ParseEventSelectors([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	want.TrailARN = ""
	if d := cmp.Diff(want, cloudtrailapi.ToCloudTrail(e.Spec.EventSelection)); d != "" {
		t.Error(d)
	}
}

func TestErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"There is no EventSelector absent in the namespace shop.":                  {"get", "lost"},
		`there is no trail named "absent"`:                                         {"get", "absent"},
		"get takes the name of one trail":                                          {"get"},
		"--operator-namespace \"a/b\" is not the name of a namespace":              {"get", "all", "--operator-namespace", "a/b"},
		"convert takes -f FILE, or - for the standard input, and --name NAME":      {"convert", "-f", "-"},
		"--name \"A_b\" is not the name of an EventSelector":                       {"convert", "-f", "-", "--name", "A_b"},
		"reading --filename: open /absent/file":                                    {"convert", "-f", "/absent/file", "--name", "a"},
		"this is not the JSON of event selectors":                                  {"convert", "-f", "-", "--name", "a"},
		`event-selectors has the commands get and convert, not "put"`:              {"put"},
		"There is no EventSelector writes in the namespace elsewhere. Create it, ": {"get", "organizationtrail/all", "--operator-namespace", "elsewhere"},
	} {
		out, err := run(t, "{", args...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%v: got %q and %v, want %q", args, out, err, want)
		}
	}
}

func TestBareCommandHelps(t *testing.T) {
	out, err := run(t, "")
	if err != nil || !strings.Contains(out, "convert") || !strings.Contains(out, "get") {
		t.Errorf("%v %s", err, out)
	}
}
