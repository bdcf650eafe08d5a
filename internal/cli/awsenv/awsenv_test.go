package awsenv_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/cli/awsenv"
)

func TestLoad(t *testing.T) {
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "AWS_CONFIG_FILE": filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "credentials"),
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "audit", "AWS_REGION": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	if _, err := awsenv.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Errorf("a profile that is not there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(home, "config"), []byte("[profile audit]\nregion = eu-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "credentials"), []byte("[audit]\naws_access_key_id = key\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := awsenv.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := awsenv.Environment{AccessKey: "key", SecretKey: "secret", Region: "eu-1", Endpoint: "http://127.0.0.1:1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
