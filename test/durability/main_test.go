// Package durability kills the receiver, again and again, and counts what is in
// the bucket in the end. README.md says what is promised and how it is checked.
package durability

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/trail-operator/trail-operator/test/testenv"
)

// What all tests share.
var (
	binary string // of the receiver, with failpoints
	s3     *testenv.S3Server
)

// worlds is how many tests run at once: they wait most of the time.
const worlds = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", worlds); err != nil {
		os.Exit(fail(err))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "durability")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if binary = os.Getenv(binaryEnv); binary == "" {
		binary = filepath.Join(dir, "receiver")
		build := exec.Command("go", "build", "-tags", "failpoints", "-o", binary, "github.com/trail-operator/trail-operator/cmd/receiver")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fail(fmt.Errorf("go build: %w: %s", err, out))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s3, err = testenv.StartVersityGW(ctx, filepath.Join(dir, "s3"), testenv.S3Options{Progress: os.Stderr}); err != nil {
		return fail(err)
	}
	code := m.Run()
	s3.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		return fail(err)
	}
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "durability:", err)
	return 1
}

// binaryEnv names a receiver that was built with the tag failpoints, so that a
// test that runs another one need not build it again.
const binaryEnv = "TRAIL_TEST_RECEIVER"
