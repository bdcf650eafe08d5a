package quarantine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func start(t *testing.T) (*clitest.Receiver, *clitest.Cluster) {
	t.Helper()
	r := clitest.NewReceiver(t)
	until, replayed := clitest.Now.Add(29*24*time.Hour), clitest.Now.Add(-time.Minute)
	item := func(n int, change func(*receiverstatus.Kept)) {
		k := receiverstatus.Kept{
			ID: fmt.Sprintf("item-%013d-%016x", n, n), Kind: receiverstatus.KeptItem, Time: clitest.Now.Add(-time.Hour), Source: "000000000042/cp-1",
			Reason: "item has a member of the wrong type", Bytes: 2048, SHA256: strings.Repeat("ab", 32), Until: &until, Replayable: true, Copy: `{"auditID":"*"}`,
		}
		change(&k)
		r.Kept = append(r.Kept, k)
	}
	r.Kept = append(r.Kept,
		receiverstatus.Kept{ID: "chunk-chunk-00000000000000000007", Kind: receiverstatus.KeptChunk, Time: clitest.Now.Add(-2 * time.Hour), Reason: "the spool could not read it back", Bytes: 512},
		receiverstatus.Kept{ID: "expired-u-0000000000000001", Kind: receiverstatus.KeptExpired})
	item(1, func(*receiverstatus.Kept) {})
	item(2, func(k *receiverstatus.Kept) { k.Replayable, k.Replayed = false, &replayed })
	item(3, func(k *receiverstatus.Kept) { k.Replayable, k.Reason = false, "body\x1b[31m is broken" })
	item(4, func(*receiverstatus.Kept) {})
	return r, &clitest.Cluster{Chosen: "default", Objects: []client.Object{r.Secret}}
}

func run(t *testing.T, r *clitest.Receiver, c *clitest.Cluster, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	if r != nil {
		args = append(args, "--receiver", r.Address)
	}
	return clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(c, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, args...)
}

func TestListAndShow(t *testing.T) {
	r, c := start(t)
	for name, args := range map[string][]string{
		"list.txt":      {"list"},
		"wide.txt":      {"list", "-o", "wide"},
		"list.json":     {"list", "-o", "json", "--kind", "item", "--limit", "2"},
		"list.yaml":     {"list", "-o", "yaml", "--kind", "item", "--continue", "item-0000000000003-0000000000000003"},
		"show.txt":      {"show", "item-0000000000002-0000000000000002"},
		"show.json":     {"show", "item-0000000000001-0000000000000001", "-o", "json"},
		"kinds.txt":     {"list", "--kind", "chunk,expired"},
		"continue.txt":  {"list", "--continue", "item-0000000000004-0000000000000004"},
		"page.txt":      {"list", "--limit", "3"},
		"show.yaml.txt": {"show", "chunk-chunk-00000000000000000007", "-o", "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, err := run(t, r, c, args...)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out+errOut)
		})
	}
}

func TestReplay(t *testing.T) {
	r, c := start(t)
	r.Refuse["item-0000000000004-0000000000000004"] = "item has a member of the wrong type"
	out, _, err := run(t, r, c, "replay", "--all")
	if err == nil || err.Error() != "1 of 2 were not possible" {
		t.Errorf("%v", err)
	}
	clitest.Golden(t, "replay.txt", out)
	want := []string{"item-0000000000001-0000000000000001", "item-0000000000004-0000000000000004"}
	if diff := cmp.Diff(want, r.Asked[receiverstatus.PathReplay]); diff != "" {
		t.Error(diff)
	}
	if out, _, err = run(t, r, c, "replay", "item-0000000000001-0000000000000001", "-o", "json"); err != nil || !strings.Contains(out, `"outcome": "replayed"`) {
		t.Errorf("%s, %v", out, err)
	}
	r.Kept = nil
	if out, errOut, err := run(t, r, c, "replay", "--all"); err != nil || out != "" || !strings.Contains(errOut, "Nothing in quarantine") {
		t.Errorf("%s %s %v", out, errOut, err)
	}
}

func TestRefused(t *testing.T) {
	r, c := start(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"kind":       {[]string{"list", "--kind", "secret"}, `the kind "secret" is not known`},
		"limit":      {[]string{"list", "--limit", "10001"}, "--limit must be from 1 to 10000"},
		"format":     {[]string{"list", "-o", "xml"}, `the output format "xml" is not known`},
		"no ID":      {[]string{"show"}, "show takes one ID"},
		"gone":       {[]string{"show", "item-1-1"}, `nothing is kept as "item-1-1"`},
		"what":       {[]string{"replay"}, "replay takes IDs, or --all"},
		"both":       {[]string{"replay", "--all", "a"}, "replay takes IDs, or --all"},
		"subcommand": {[]string{"delete"}, `not "delete"`},
		"namespace":  {[]string{"list", "--operator-namespace", "A"}, "is not the name of a namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := run(t, r, c, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	empty := &clitest.Cluster{}
	if _, _, err := run(t, r, empty, "list"); err == nil || !strings.Contains(err.Error(), "there is no Secret trail-manager-tls") {
		t.Errorf("%v", err)
	}
	if _, _, err := run(t, nil, c, "list"); err == nil || !strings.Contains(err.Error(), "trail-installation") {
		t.Errorf("%v", err)
	}
	if _, _, err := run(t, nil, c, "list", "--receiver", "nowhere"); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("%v", err)
	}
}
