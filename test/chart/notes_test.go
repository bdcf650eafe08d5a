package chart

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/internal/cli"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

// notes installs the chart and returns what Helm says to do next.
func notes(t *testing.T, ns string, args ...string) string {
	t.Helper()
	restricted(t, ns)
	helm(t, append([]string{"install", release, chart, "--namespace", ns, "--wait=false", "--set", "crds.keep=false,region=eu-central-1"}, args...)...)
	t.Cleanup(func() {
		helm(t, "uninstall", release, "--namespace", ns, "--wait=false")
		kubectl(t, nil, "wait", "--for=delete", "--timeout=60s", "crd/trails.trail-operator.io")
	})
	kubectl(t, nil, "wait", "--for=condition=Established", "--timeout=30s", "crd/trails.trail-operator.io")
	return helm(t, "get", "notes", release, "--namespace", ns)
}

// TestNotes: each command of NOTES.txt works as it stands there.
func TestNotes(t *testing.T) {
	const ns = "notes"
	text := notes(t, ns, "--set", "receiver.apiServers={cp-1,cp-2}")
	kubectl(t, nil, "create", "namespace", "team-a")
	for _, want := range []string{"installed in the namespace " + ns, "--apiserver cp-1", "--apiserver cp-2", "--operator-namespace " + ns} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for _, document := range regexp.MustCompile(`docs/[a-z]+\.md`).FindAllString(text, -1) {
		if _, err := os.Stat("../../" + document); err != nil {
			t.Errorf("it names %s: %v", document, err)
		}
	}
	if runbook := string(read(t, "../../docs/runbook.md")); !regexp.MustCompile(`(?m)^#+ .*Backup`).MatchString(runbook) {
		t.Error(`docs/runbook.md has no chapter "Backup"`)
	}
	seen := map[string]bool{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line, _, _ := strings.Cut(strings.TrimSpace(lines[i]), "    #")
		line = strings.TrimPrefix(line, "(umask 077; ")
		line, _, _ = strings.Cut(line, " > ")
		line, _, _ = strings.Cut(line, " | ")
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "kubectl" && words[0] != "helm" {
			continue
		}
		switch {
		case strings.Contains(line, "<<EOF"):
			var manifest []string
			for i++; strings.TrimSpace(lines[i]) != "EOF"; i++ {
				manifest = append(manifest, strings.TrimPrefix(lines[i], "     "))
			}
			kubectl(t, []byte(strings.Join(manifest, "\n")), "apply", "--dry-run=server", "--validate=strict", "-f", "-")
			seen["apply"] = true
		case words[0] == "helm":
			if line != "helm test "+release+" -n "+ns {
				t.Errorf("%s: another release or namespace", line)
			}
			seen["helm test"] = true
		case words[1] == "trail":
			trailCommand(t, words[2:])
			seen["kubectl trail "+words[2]] = true
		case strings.Contains(line, "trail/audit"):
			seen["wait"] = strings.Contains(line, "--for=condition=Ready")
		case strings.Contains(line, "statefulset/"):
			// The manager makes it, which does not run here.
			if !strings.Contains(line, "statefulset/"+manifests.ReceiverName) || !strings.Contains(line, "-n "+ns) {
				t.Errorf("%s: the receiver's StatefulSet is %s", line, manifests.ReceiverName)
			}
			seen["receiver"] = true
		case strings.Contains(line, "rollout status"):
			kubectl(t, nil, strings.Fields(strings.Replace(line, "rollout status", "get", 1))[1:]...)
			seen["manager"] = true
		default:
			kubectl(t, nil, append(words[1:], "--dry-run=server")...)
			seen[words[1]] = true
		}
	}
	for _, want := range []string{
		"apply", "helm test", "kubectl trail audit-policy", "kubectl trail webhook-config", "kubectl trail grant", "wait", "receiver", "manager", "label",
	} {
		if !seen[want] {
			t.Errorf("no command %s was seen in\n%s", want, text)
		}
	}
}

// trailCommand requires that the plugin takes these arguments.
func trailCommand(t *testing.T, args []string) {
	t.Helper()
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	c, rest, err := cli.NewCommand(streams).Find(args)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err == nil {
		err = c.ValidateRequiredFlags()
	}
	if err != nil {
		t.Errorf("kubectl trail %s: %v", strings.Join(args, " "), err)
	}
}

// TestNotesElsewhere: where somebody else runs the receiver nobody waits for
// its StatefulSet, and in the usual namespace none has to be named.
func TestNotesElsewhere(t *testing.T) {
	text := notes(t, namespace, "--values", "testdata/external-receiver.values.yaml")
	for _, none := range []string{"statefulset", "--operator-namespace"} {
		if strings.Contains(text, none) {
			t.Errorf("it says %s\n%s", none, text)
		}
	}
}
