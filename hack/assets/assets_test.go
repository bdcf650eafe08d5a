package assets

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// tiny is a catalog of one program, which is built from the module that
// newTiny writes and needs nothing from anywhere else.
var tiny = asset{
	name: "tiny", module: "tiny", pkg: "example.com/tiny",
	versionOf: "example.com/dep", versionVars: []string{"main.version"}, cost: "1 CPU-second",
}

// newTiny lays out a repository whose hack/tiny holds the program.
func newTiny(t *testing.T) *builder {
	t.Helper()
	t.Setenv(KubeEnv, "")
	root := t.TempDir()
	writeFile(t, root, "go.mod", "module "+rootModule+"\n")
	writeFile(t, root, "hack/tiny/go.mod", `module example.com/tiny

go 1.26.0

require example.com/dep v1.2.3

replace example.com/dep => ./dep
`)
	writeFile(t, root, "hack/tiny/dep/go.mod", "module example.com/dep\n\ngo 1.26.0\n")
	writeFile(t, root, "hack/tiny/dep/dep.go", "package dep\n\nconst Greeting = \"tiny\"\n")
	writeFile(t, root, "hack/tiny/main.go", `package main

import "example.com/dep"

var version string

func main() { print(dep.Greeting, " ", version) }
`)
	return &builder{root: root, cache: t.TempDir(), catalog: []asset{tiny}, progress: io.Discard}
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureBuildsOnce(t *testing.T) {
	b := newTiny(t)
	var progress bytes.Buffer
	b.progress = &progress

	paths, err := b.ensure(t.Context(), []string{"tiny"})
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(filepath.Dir(paths["tiny"])); !strings.HasPrefix(got, "v1.2.3-") {
		t.Errorf("the cache folder is called %q, want it to begin with the version", got)
	}
	out, err := exec.Command(paths["tiny"]).CombinedOutput()
	if err != nil || string(out) != "tiny v1.2.3" {
		t.Errorf("the program printed %q (%v), want its version", out, err)
	}
	if got := progress.String(); !strings.Contains(got, "building tiny 1.2.3 (about 1 CPU-second the first time) ...") ||
		!strings.Contains(got, "built tiny 1.2.3 in ") {
		t.Errorf("progress = %q", got)
	}

	progress.Reset()
	again, err := b.ensure(t.Context(), []string{"tiny"})
	if err != nil || again["tiny"] != paths["tiny"] {
		t.Fatalf("second time: %v, %v", again, err)
	}
	if progress.Len() > 0 {
		t.Errorf("the second time told %q, want silence", progress.String())
	}
}

func TestEnsureInParallel(t *testing.T) {
	b := newTiny(t)
	var mu sync.Mutex
	var progress bytes.Buffer
	b.progress = writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return progress.Write(p)
	})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := b.ensure(t.Context(), []string{"tiny"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := strings.Count(progress.String(), "built tiny"); n != 1 {
		t.Errorf("built %d times, want once; progress:\n%s", n, progress.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestPinsDecideTheKey(t *testing.T) {
	b := newTiny(t)
	before, err := b.source(t.Context(), tiny)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, b.root, "hack/tiny/go.sum", "example.com/other v1.0.0 h1:x=\n")
	after, err := b.source(t.Context(), tiny)
	if err != nil {
		t.Fatal(err)
	}
	if before.key() == after.key() {
		t.Errorf("go.sum changed and the key stayed %s", after.key())
	}
}

func TestBrokenBuildLeavesNothing(t *testing.T) {
	b := newTiny(t)
	writeFile(t, b.root, "hack/tiny/main.go", "package main\n\nfunc main() { undefined() }\n")
	_, err := b.ensure(t.Context(), []string{"tiny"})
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("err = %v, want what the compiler said", err)
	}
	left, err := filepath.Glob(filepath.Join(b.cache, "tiny", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestUnknownName(t *testing.T) {
	_, err := newTiny(t).ensure(t.Context(), []string{"huge"})
	if err == nil || !strings.Contains(err.Error(), `no asset is called "huge"; there are tiny`) {
		t.Errorf("err = %v", err)
	}
}

func TestReportUntilStops(t *testing.T) {
	stop := reportUntil(io.Discard, "building", time.Now())
	stop() // hangs if the reporter does not end
}
