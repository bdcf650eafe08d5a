package awscli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// Size of the trail of TestBenchValidate: 5004 log files in 417 digests.
const (
	benchHours, benchFiles = 417, 12 // an hour
	benchBytes             = 64 << 10
)

// TestBenchValidate is `make bench-validate`: the AWS CLI and kubectl trail
// validate the same trail on the same S3 server, one after the other, as
// processes of their own.
func TestBenchValidate(t *testing.T) {
	if os.Getenv("TRAIL_BENCH_VALIDATE") == "" {
		t.Skip("it takes minutes; make bench-validate runs it")
	}
	clis := installed(t)
	program := filepath.Join(t.TempDir(), "kubectl-trail")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/kubectl-trail").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server, err := testenv.StartVersityGW(context.Background(), t.TempDir(), testenv.S3Options{Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	b := onServer(t, server, "bench")
	b.start = time.Now().UTC().Truncate(time.Hour).Add(-benchHours * time.Hour)
	b.Trail = verifytest.New(t, b.store, "bench", b.start)
	b.Content = recordsOf
	b.Hours(t, benchHours, benchFiles)
	b.serve(t)
	const files = benchHours * benchFiles

	t.Logf("| validates %d log files of %d KiB in %d digests | seconds | CPU-seconds | MB per CPU-second |", files, benchBytes>>10, benchHours)
	row := func(name string, run func()) {
		cpu, begin := childrenCPU(t), time.Now()
		run()
		used := (childrenCPU(t) - cpu).Seconds()
		t.Logf("| %s | %.1f | %.1f | %.0f |", name, time.Since(begin).Seconds(), used, float64(files)*benchBytes/1e6/used)
	}
	for range 2 { // the second time from the file cache
		row("kubectl trail validate-logs", func() {
			cmd := exec.CommandContext(t.Context(), program, "validate-logs", "--bucket=bench", "--prefix="+b.Layout.Prefix, "--account="+b.Layout.Account,
				"--region="+b.Layout.Region, "--trail="+b.Name, "--trust="+b.Keys[0].SHA256, "--endpoint="+server.Endpoint, "--bucket-region="+server.Region)
			cmd.Env = []string{
				"HOME=" + t.TempDir(), "AWS_ACCESS_KEY_ID=" + server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + server.SecretKey, "AWS_EC2_METADATA_DISABLED=true",
			}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d/%d log files valid", files, files)) {
				t.Fatalf("%v: %s", err, out)
			}
		})
	}
	for _, c := range clis {
		row("aws cloudtrail validate-logs, AWS CLI "+c.Version, func() {
			out, exit, err := c.ValidateLogs(t.Context(), t.TempDir(), testenv.Validation{
				Endpoint: b.endpoint, Region: b.Layout.Region, TrailARN: b.ARN(), S3: server, Timeout: 30 * time.Minute,
				Start: b.start.Add(-time.Hour), End: time.Now().UTC().Add(time.Hour),
			})
			if err != nil || exit != 0 || !strings.Contains(out, fmt.Sprintf("%d/%d log files valid", files, files)) {
				t.Fatalf("%v, %d: %.2000s", err, exit, out[max(0, len(out)-2000):])
			}
		})
	}
}

// childrenCPU is what the processes have used that we have started and that
// have ended: the S3 server is not among them.
func childrenCPU(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// recordsOf makes a log file of benchBytes, with what differs from record to
// record in real ones.
func recordsOf(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	id := func() string {
		var u uuid.UUID
		for i := range u {
			u[i] = byte(r.Uint32())
		}
		return u.String()
	}
	b := []byte(record.LogFileHead)
	for first := true; ; first = false {
		line := fmt.Sprintf(`{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"%s:pod-%x","arn":"arn:k8s:core:eu-1:000000000042:shop/serviceaccounts/worker-%d",`+
			`"accountId":"000000000042","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"%s","userName":"worker-%d"}}},"eventTime":"2026-03-01T%02d:%02d:%02dZ",`+
			`"eventSource":"core.k8s.io","eventName":"GetConfigMap","awsRegion":"eu-1","sourceIPAddress":"10.%d.%d.%d","userAgent":"worker/v1.%d (linux/amd64)",`+
			`"requestParameters":{"verb":"get","version":"v1","resource":"configmaps","namespace":"shop","name":"settings-%x"},"responseElements":null,`+
			`"requestID":"%s","eventID":"%s","readOnly":true,"resources":[{"ARN":"arn:k8s:core:eu-1:000000000042:shop/configmaps/settings-%x","accountId":"000000000042","type":"K8S::core::ConfigMap"}],`+
			`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"000000000042","eventCategory":"Management","additionalEventData":{"level":"Metadata","stage":"ResponseComplete"}}`,
			id(), r.Uint32(), r.IntN(50), id(), r.IntN(50), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(9), r.Uint32(),
			id(), id(), r.Uint32())
		if len(b)+len(line)+len(record.LogFileTail)+1 > benchBytes {
			return append(b, record.LogFileTail...)
		}
		if !first {
			b = append(b, ',')
		}
		b = append(b, line...)
	}
}
