package redeliver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	live  = "2f0e5c0a-9d7c-4b54-8f5b-0c8a3c1f2d11"
	other = "2f0e5c0a-9d7c-4b54-8f5b-0c8a3c1f2d22"
	gone  = "2f0e5c0a-9d7c-4b54-8f5b-0c8a3c1f2d33"
)

func start(t *testing.T) (*clitest.Receiver, *clitest.Cluster) {
	t.Helper()
	r := clitest.NewReceiver(t)
	until, oldest, asked := clitest.Now.Add(29*24*time.Hour), clitest.Now.Add(-3*time.Hour), clitest.Now.Add(-time.Minute)
	file := func(id, kind, trail, key string, change func(*receiverstatus.Kept)) {
		body := []byte("the bytes of " + key)
		k := receiverstatus.Kept{
			ID: id, Kind: kind, Trail: trail, Time: clitest.Now.Add(-time.Hour), Reason: "given up", Bytes: int64(len(body)), SHA256: record.HexSHA256(body),
			Until: &until, Key: key, Records: 7, Oldest: &oldest, Newest: &oldest,
		}
		r.Content[id] = body
		change(&k)
		r.Kept = append(r.Kept, k)
	}
	file("abandoned-"+gone+"-l0000000000000001", receiverstatus.KeptAbandoned, gone, "bank/audit/AWSLogs/a.json.gz", func(k *receiverstatus.Kept) { k.TrailName = "bank.audit" })
	file("expired-"+live+"-0000000000000001", receiverstatus.KeptExpired, live, "shop/audit/AWSLogs/b.json.gz", func(*receiverstatus.Kept) {})
	file("expired-"+live+"-0000000000000002", receiverstatus.KeptExpired, live, "shop/audit/AWSLogs/c.json.gz", func(k *receiverstatus.Kept) { k.Asked = &asked })
	file("expired-"+other+"-0000000000000001", receiverstatus.KeptExpired, other, "other/AWSLogs/d.json.gz", func(*receiverstatus.Kept) {})
	trail := clitest.Trail("shop", "audit")
	trail.UID = types.UID(live)
	return r, &clitest.Cluster{Chosen: "shop", Objects: []client.Object{r.Secret, trail}}
}

func run(t *testing.T, r *clitest.Receiver, c *clitest.Cluster, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(c, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, append(args, "--receiver", r.Address)...)
}

func TestList(t *testing.T) {
	r, c := start(t)
	for name, args := range map[string][]string{
		"list.txt":  {"--list"},
		"wide.txt":  {"--list", "-o", "wide"},
		"trail.txt": {"--list", "audit"},
		"list.json": {"--list", "audit", "-o", "json"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, err := run(t, r, c, args...)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out+errOut)
		})
	}
	if len(r.Asked) != 0 {
		t.Errorf("%v was asked for", r.Asked)
	}
}

func TestDeliver(t *testing.T) {
	r, c := start(t)
	abandoned := "abandoned-" + gone + "-l0000000000000001"
	r.Refuse[abandoned] = "save it with --to-dir"
	if out, _, err := run(t, r, c, "audit"); err != nil || strings.Count(out, "asked") != 2 {
		t.Errorf("%s, %v", out, err)
	}
	want := []string{"expired-" + live + "-0000000000000001", "expired-" + live + "-0000000000000002"}
	if diff := cmp.Diff(want, r.Asked[receiverstatus.PathRedeliver]); diff != "" {
		t.Error(diff)
	}
	out, _, err := run(t, r, c, "--all")
	if err == nil || !strings.Contains(err.Error(), "1 of 4") || !strings.Contains(out, "--to-dir") {
		t.Errorf("%s, %v", out, err)
	}
	if out, _, err = run(t, r, c, want[0], want[1]); err != nil || strings.Count(out, "asked") != 2 {
		t.Errorf("%s, %v", out, err)
	}
	r.Kept = nil
	if _, errOut, err := run(t, r, c, "audit"); err != nil || !strings.Contains(errOut, "nothing to deliver") {
		t.Errorf("%s, %v", errOut, err)
	}
}

// TestSave: whole files with the right bytes, below the folder, and no others.
func TestSave(t *testing.T) {
	r, c := start(t)
	dir := filepath.Join(t.TempDir(), "saved")
	if out, _, err := run(t, r, c, "--all", "--to-dir", dir); err != nil || strings.Count(out, "saved") != 4 {
		t.Fatalf("%s, %v", out, err)
	}
	for _, k := range r.Kept {
		b, err := os.ReadFile(filepath.Join(dir, k.Key))
		if err != nil || record.HexSHA256(b) != k.SHA256 {
			t.Errorf("%s: %v", k.Key, err)
		}
	}
	if out, _, err := run(t, r, c, "--all", "--to-dir", dir); err != nil || strings.Count(out, "already saved") != 4 {
		t.Errorf("%s, %v", out, err)
	}
	if err := os.WriteFile(filepath.Join(dir, r.Kept[0].Key), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := run(t, r, c, "--all", "--to-dir", dir); err == nil || !strings.Contains(out, "another file is there") {
		t.Errorf("%s, %v", out, err)
	}
	for name, change := range map[string]struct {
		change func(k *receiverstatus.Kept)
		want   string
	}{
		"damaged on its way": {func(k *receiverstatus.Kept) { r.Content[k.ID] = []byte("THE BYTES OF other/AWSLogs/d.json.gz") }, "damaged"},
		"longer":             {func(k *receiverstatus.Kept) { r.Content[k.ID] = append(r.Content[k.ID], 'x') }, "damaged"},
		"gone":               {func(k *receiverstatus.Kept) { delete(r.Content, k.ID) }, "gone"},
		"outside":            {func(k *receiverstatus.Kept) { k.Key = "../evil" }, "no path within a folder"},
		"absolute":           {func(k *receiverstatus.Kept) { k.Key = "/tmp/evil" }, "no path within a folder"},
		"empty":              {func(k *receiverstatus.Kept) { k.Key = "" }, "no path within a folder"},
		"a link":             {func(k *receiverstatus.Kept) { k.Key = "out/evil" }, "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			r, c = start(t)
			last := &r.Kept[3]
			change.change(last)
			inner := filepath.Join(t.TempDir(), "saved")
			if err := os.MkdirAll(inner, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(t.TempDir(), filepath.Join(inner, "out")); err != nil {
				t.Fatal(err)
			}
			out, _, err := run(t, r, c, last.ID, "--to-dir", inner)
			if err == nil || !strings.Contains(out, change.want) {
				t.Errorf("%s, %v", out, err)
			}
			files := 0
			_ = filepath.WalkDir(filepath.Dir(inner), func(_ string, e os.DirEntry, _ error) error {
				if e.Type().IsRegular() {
					files++
				}
				return nil
			})
			if files != 0 {
				t.Errorf("%d files were written", files)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	r, c := start(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing":    {nil, "redeliver takes a trail, IDs or --all"},
		"all and":    {[]string{"--all", "audit"}, "--all is for all trails"},
		"two":        {[]string{"audit", "more"}, "redeliver takes one trail"},
		"mixed":      {[]string{"audit", "expired-" + live + "-0000000000000001"}, "a trail, or IDs, not both"},
		"both modes": {[]string{"--all", "--list", "--to-dir", "x"}, "list to-dir"},
		"no trail":   {[]string{"absent"}, `there is no trail named "absent"`},
		"no file":    {[]string{"expired-" + live + "-00000000000000ff"}, "no file is kept as"},
		"format":     {[]string{"--list", "-o", "xml"}, "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := run(t, r, c, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
