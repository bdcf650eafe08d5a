//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// PodImage is an image for pods of tests, with a program that waits, prints,
// reads and serves. It is also the one that holds the namespaces of each pod.
const PodImage = "localhost/trail-cluster/pod:1"

// buildOwn builds the programs of this package.
func (c *Cluster) buildOwn(ctx context.Context) error {
	return goRun(ctx, "build", "-trimpath", "-o", c.path("bin", "cluster"), modulePath+"/hack/cluster/cmd/cluster")
}

const modulePath = "github.com/trail-operator/trail-operator"

func (c *Cluster) buildPodImage(ctx context.Context) error {
	return goRun(ctx, "run", modulePath+"/hack/image",
		"--package", modulePath+"/hack/cluster/cmd/pod", "--tag", PodImage, "--output", c.path("images", "pod.tar"))
}

// goRun runs the go command; it needs a working folder inside the repository.
func goRun(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(output))
	}
	return nil
}

// ctr is containerd's own client.
func (c *Cluster) ctr(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, c.programs["ctr"],
		append([]string{"--address", c.path("run", "containerd", "containerd.sock"), "--namespace", "k8s.io"}, args...)...)
}

// LoadImage gives the node the images of an archive, as `docker save` and
// hack/image write it.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	archive, err := filepath.Abs(archive)
	if err != nil {
		return err
	}
	return c.Run(c.ctr(ctx, "images", "import", archive))
}

// TagImage gives an image of the node a second name. Names are complete:
// docker.io/trail-operator/manager:dev.
func (c *Cluster) TagImage(ctx context.Context, name, another string) error {
	return c.Run(c.ctr(ctx, "images", "tag", "--force", name, another))
}
