package awscli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/internal/cli"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// TestCommand runs kubectl trail validate-logs on a real server, and its exit
// codes.
func TestCommand(t *testing.T) {
	server, err := testenv.StartVersityGW(t.Context(), t.TempDir(), testenv.S3Options{Log: t.Output(), Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	b := newBucket(t, backend{"versitygw", func(t *testing.T, name string) *bucket { return onServer(t, server, name) }}, "command")
	home := t.TempDir()
	anchor := filepath.Join(home, "anchor.json")
	if err := os.WriteFile(anchor, record.MustJSON(b.Last.Head), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "AWS_PROFILE": "", "AWS_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_SESSION_TOKEN": "",
		"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
	} {
		t.Setenv(name, value)
	}
	run := func(wantCode int, args ...string) *verify.Result {
		t.Helper()
		streams, _, out, errOut := genericiooptions.NewTestIOStreams()
		code := cli.Run(t.Context(), append([]string{
			"kubectl-trail", "validate-logs", "-o", "json", "--bucket", b.Trail.Bucket, "--prefix", b.Layout.Prefix,
			"--account", b.Layout.Account, "--region", b.Layout.Region, "--trail", b.Name, "--head", anchor,
		}, args...), streams)
		if code != wantCode {
			t.Fatalf("exit code %d, want %d: %s", code, wantCode, errOut)
		}
		r := &verify.Result{}
		if code != 2 {
			if err := json.Unmarshal(out.Bytes(), r); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(errOut.String(), server.SecretKey) {
			t.Error("the secret was printed")
		}
		return r
	}
	if r := run(0, "--endpoint", server.Endpoint); !r.Valid || r.Digests.Valid != 6 || r.LogFiles.Valid != 11 {
		t.Errorf("%+v", r)
	}
	b.remove(t, b.Files[0])
	if r := run(1, "--endpoint", server.Endpoint); r.Valid || len(r.Findings) != 1 {
		t.Errorf("%+v", r)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	run(2, "--endpoint", server.Endpoint)
}
