// Package tail follows the audit log of a real kube-apiserver into a real
// receiver and a real bucket, while each of them is away.
package tail

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/trail-operator/trail-operator/test/testenv"
)

// What all tests share.
var (
	programs string // folder
	s3       *testenv.S3Server
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "tail"); err != nil {
		return fail(err)
	}
	defer os.RemoveAll(programs)
	for _, name := range []string{"receiver", "recorder"} {
		build := exec.Command("go", "build", "-o", filepath.Join(programs, name), "github.com/trail-operator/trail-operator/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fail(fmt.Errorf("go build: %w: %s", err, out))
		}
	}
	if s3, err = testenv.StartVersityGW(context.Background(), filepath.Join(programs, "s3"), testenv.S3Options{Progress: os.Stderr}); err != nil {
		return fail(err)
	}
	defer s3.Stop()
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "tail:", err)
	return 1
}
