package assets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// reportEvery is how often a running build tells that it is still running.
const reportEvery = 15 * time.Second

// build returns the path of a in the cache, after building it there if it is
// missing. The file appears under its name only when it is complete.
func (b *builder) build(ctx context.Context, a asset) (string, error) {
	src, err := b.source(ctx, a)
	if err != nil {
		return "", fmt.Errorf("preparing to build %s: %w", a.name, err)
	}
	target := filepath.Join(b.cache, a.name, src.key(), a.name)
	if isProgram(target) {
		return target, nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Dir(target)+".lock", func() {
		fmt.Fprintf(b.progress, "waiting for another process that builds %s\n", a.name)
	})
	if err != nil {
		return "", fmt.Errorf("locking the cache of %s: %w", a.name, err)
	}
	defer unlock()
	if isProgram(target) {
		return target, nil
	}
	// The lock is held, so a partial file is what an interrupted build left.
	partial := target + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := b.compile(ctx, a, src, partial); err != nil {
		return "", err
	}
	return target, os.Rename(partial, target)
}

// compile runs go build and reports on it while it runs.
func (b *builder) compile(ctx context.Context, a asset, src source, out string) error {
	what := a.name + " " + strings.TrimPrefix(src.version, "v")
	begun := fmt.Sprintf("building %s (about %s the first time)", what, a.cost)
	fmt.Fprintf(b.progress, "%s ...\n", begun)

	args := append([]string{"build"}, src.flags...)
	cmd := src.goCommand(ctx, append(args, "-o", out, a.pkg)...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	start := time.Now()
	stop := reportUntil(b.progress, begun, start)
	err := cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("building %s in %s: %w\n%s", what, src.dir, err, tail(output.Bytes()))
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Fprintf(b.progress, "built %s in %.0f s (%.0f CPU-seconds)\n", what, time.Since(start).Seconds(), cpu.Seconds())
	return nil
}

// reportUntil writes a line every reportEvery, until the returned function is called.
func reportUntil(w io.Writer, begun string, start time.Time) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(w, "%s ... %.0f s\n", begun, time.Since(start).Seconds())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// tail keeps the end of a build's output: the errors stand there, after what
// may be hundreds of lines about downloads.
func tail(output []byte) []byte {
	const most = 4 << 10
	output = bytes.TrimSpace(output)
	if len(output) > most {
		output = output[len(output)-most:]
	}
	return output
}

// goCommand is the go command in the module's folder, independent of flags and
// workspaces that the caller's environment sets for the project itself.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	return cmd
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0 && info.Mode().Perm()&0o111 != 0
}
