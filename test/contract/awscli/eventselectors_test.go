package awscli

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cloudtrailapi"
)

// described are trails without a bucket that is read.
type described struct {
	cloudtrailapi.Source
	trails []cloudtrailapi.Trail
}

func (d described) Trails(context.Context) ([]cloudtrailapi.Trail, error) { return d.trails, nil }

// selections are those of the samples, and the one of a new trail.
func selections(t *testing.T) map[string]v1alpha1.EventSelection {
	t.Helper()
	found := map[string]v1alpha1.EventSelection{"shop.new": {Basic: []v1alpha1.BasicEventSelector{{}}}}
	files, err := filepath.Glob("../../../config/samples/eventselectors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var e v1alpha1.EventSelector
		if err := yaml.UnmarshalStrict(raw, &e); err != nil {
			t.Fatal(err)
		}
		found["shop."+e.Name] = e.Spec.EventSelection
	}
	return found
}

// TestEventSelectors: AWS's own clients read what a trail selects, what they
// print is read back without a loss, and they take it as PutEventSelectors.
func TestEventSelectors(t *testing.T) {
	want := selections(t)
	var source described
	for name, sel := range want {
		source.trails = append(source.trails, cloudtrailapi.Trail{Name: name, ARN: "arn:aws:cloudtrail:eu-1:123456789012:trail/" + name, Region: "eu-1", Selection: sel})
	}
	server := httptest.NewServer(cloudtrailapi.New(source, testr.New(t)))
	defer server.Close()
	check := func(t *testing.T, name, printed string) {
		t.Helper()
		in, err := cloudtrailapi.ParseEventSelectors([]byte(printed))
		if err != nil {
			t.Fatalf("%v: %s", err, printed)
		}
		got, err := cloudtrailapi.FromCloudTrail(in)
		if d := cmp.Diff(want[name], got); err != nil || d != "" {
			t.Error(err, d)
		}
	}
	sdk := cloudtrail.New(cloudtrail.Options{
		BaseEndpoint: &server.URL, Region: "eu-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	for name := range want {
		out, err := sdk.GetEventSelectors(t.Context(), &cloudtrail.GetEventSelectorsInput{TrailName: &name})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.EventSelectors) != len(want[name].Basic) || len(out.AdvancedEventSelectors) != len(want[name].Advanced) || !strings.HasSuffix(*out.TrailARN, name) {
			t.Errorf("the SDK reads %+v", out)
		}
	}
	for _, c := range installed(t) {
		t.Run(c.Version, func(t *testing.T) {
			for name := range want {
				printed, err := c.cloudTrail(t, server.URL, "get-event-selectors", "--trail-name", name)
				if err != nil {
					t.Fatalf("%v: %s", err, printed)
				}
				check(t, name, printed)

				put := cloudtrailapi.ToCloudTrail(want[name])
				put.TrailName = name
				raw, err := json.Marshal(put)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "put.json")
				if err := os.WriteFile(file, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				// It checks the parameters before it asks the server, which only reads.
				if out, err := c.cloudTrail(t, server.URL, "put-event-selectors", "--cli-input-json", "file://"+file); err == nil || !strings.Contains(out, "UnsupportedOperationException") {
					t.Errorf("%v: %s", err, out)
				}
			}
			if out, err := c.cloudTrail(t, server.URL, "get-event-selectors", "--trail-name", "absent"); err == nil || !strings.Contains(out, "TrailNotFoundException") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// cloudTrail runs a command of `aws cloudtrail` and returns what it printed.
func (c awsCLI) cloudTrail(t *testing.T, endpoint string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Path, append([]string{"--endpoint-url", endpoint, "--region", "eu-1", "--output", "json", "cloudtrail"}, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
