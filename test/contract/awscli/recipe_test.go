package awscli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
)

var recipe = regexp.MustCompile("(?s)<!-- A test runs this block. -->\n```sh\n(.*?)```")

// TestRecipe runs the shell commands with which docs/formats/digest.md checks a
// signature.
func TestRecipe(t *testing.T) {
	for _, tool := range []string{"sh", "gunzip", "jq", "sha256sum", "md5sum", "xxd", "base64", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s on the PATH", tool)
		}
	}
	page, err := os.ReadFile("../../../docs/formats/digest.md")
	if err != nil {
		t.Fatal(err)
	}
	script := recipe.FindSubmatch(page)
	if script == nil {
		t.Fatal("the page has no recipe")
	}
	store := memory.New(clock.RealClock{})
	b := newBucket(t, backend{"memory", func(*testing.T, string) *bucket { return &bucket{store: store} }}, "recipe")
	for i, key := range b.Digests {
		dir := t.TempDir()
		signing := b.Keys[0]
		if i >= 3 {
			signing = b.Keys[1]
		}
		write := func(name string, body []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, body, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		run := func(signature string) string {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", string(script[1]))
			cmd.Dir = dir
			cmd.Env = append(os.Environ(),
				"DIGEST="+write("digest.json.gz", b.body(t, key)),
				"KEY="+write("published.json", b.body(t, b.Layout.DigestKey(signing.Fingerprint))),
				"SIGNATURE="+signature)
			out, _ := cmd.CombinedOutput() // a wrong signature is an error, too
			return string(out)
		}
		metadata := store.Objects()[key].Metadata
		out := run(metadata["signature"])
		if !strings.Contains(out, "Verified OK") || strings.Count(out, signing.Fingerprint) != 2 || !strings.Contains(out, signing.SHA256) {
			t.Errorf("%s:\n%s", key, out)
		}
		if out := run(strings.Repeat("00", 256)); strings.Contains(out, "Verified OK") {
			t.Errorf("a signature of zeros is verified:\n%s", out)
		}
	}
}
