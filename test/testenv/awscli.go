package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// AWSCLI is an AWS CLI of this machine.
type AWSCLI struct{ Path, Version string }

var cliVersion = regexp.MustCompile(`^aws-cli/(\S+)`)

// AWSCLIs returns every AWS CLI on the PATH, one of each version. Debian's is
// 2.9.19, which needs rule sets to be led to another endpoint; newer ones take
// it from the environment.
func AWSCLIs(ctx context.Context) []AWSCLI {
	var found []AWSCLI
	seen := map[string]bool{}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, "aws")
		out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
		m := cliVersion.FindSubmatch(out)
		if err != nil || m == nil || seen[string(m[1])] {
			continue
		}
		seen[string(m[1])] = true
		found = append(found, AWSCLI{path, string(m[1])})
	}
	return found
}

// ruleSets lead every request of the services that validate-logs uses beside
// CloudTrail to one server: S3 in path style, and Organizations.
var ruleSets = map[string]string{
	"s3/2006-03-01": `{"version": "1.0",
"parameters": {
  "Bucket": {"required": false, "documentation": "bucket", "type": "String"},
  "Region": {"builtIn": "AWS::Region", "required": false, "documentation": "region", "type": "String"}
},
"rules": [
  {"conditions": [{"fn": "isSet", "argv": [{"ref": "Bucket"}]}], "type": "endpoint",
   "endpoint": {"url": "%[1]s/{Bucket}", "properties": {"authSchemes": [{"name": "sigv4", "signingName": "s3", "signingRegion": "us-east-1", "disableDoubleEncoding": true}]}, "headers": {}}},
  {"conditions": [], "type": "endpoint",
   "endpoint": {"url": "%[1]s", "properties": {"authSchemes": [{"name": "sigv4", "signingName": "s3", "signingRegion": "us-east-1", "disableDoubleEncoding": true}]}, "headers": {}}}
]}`,
	"organizations/2016-11-28": `{"version": "1.0",
"parameters": {"Region": {"builtIn": "AWS::Region", "required": false, "documentation": "region", "type": "String"}},
"rules": [{"conditions": [], "type": "endpoint", "endpoint": {"url": "%[1]s",
  "properties": {"authSchemes": [{"name": "sigv4", "signingName": "organizations", "signingRegion": "us-east-1"}]}, "headers": {}}}]}`,
}

// Validation is what `aws cloudtrail validate-logs` is asked.
type Validation struct {
	Endpoint   string // URL of all services
	Region     string
	TrailARN   string
	Start, End time.Time
	// Account is that of --account-id, for the trail of an organization.
	Account string
	// S3 is another server for S3, with credentials for it; left out, Endpoint
	// serves that, too, to anybody.
	S3 *S3Server
	// Timeout of the whole run; 0 means two minutes.
	Timeout time.Duration
}

// ValidateLogs runs `aws cloudtrail validate-logs` with home, a folder of its
// own, and returns what it printed and its exit code.
func (c AWSCLI) ValidateLogs(ctx context.Context, home string, v Validation) (output string, exit int, err error) {
	s3, key, secret := v.Endpoint, "any", "any"
	if v.S3 != nil {
		s3, key, secret = v.S3.Endpoint, v.S3.AccessKey, v.S3.SecretKey
	}
	models := filepath.Join(home, "models")
	for service, rules := range ruleSets {
		endpoint := v.Endpoint
		if strings.HasPrefix(service, "s3/") {
			endpoint = s3
		}
		dir := filepath.Join(models, service)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", 0, err
		}
		if err := os.WriteFile(filepath.Join(dir, "endpoint-rule-set-1.json"), fmt.Appendf(nil, rules, endpoint), 0o600); err != nil {
			return "", 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(v.Timeout, 2*time.Minute))
	defer cancel()
	args := []string{
		"--endpoint-url", v.Endpoint, "--region", v.Region,
		"cloudtrail", "validate-logs", "--verbose", "--trail-arn", v.TrailARN,
		"--start-time", v.Start.Format(time.RFC3339), "--end-time", v.End.Format(time.RFC3339),
	}
	if v.Account != "" {
		args = append(args, "--account-id", v.Account)
	}
	cmd := exec.CommandContext(ctx, c.Path, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C.UTF-8", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
		"AWS_DATA_PATH=" + models, "AWS_ENDPOINT_URL=" + v.Endpoint, "AWS_ENDPOINT_URL_S3=" + s3,
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return "", 0, err
	}
	return string(out), cmd.ProcessState.ExitCode(), nil
}
