package assets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// source is what a build starts from; the same source gives the same program.
type source struct {
	dir     string // of the module that pins the program
	version string
	flags   []string
	pins    []byte // go.mod and go.sum
	target  string // operating system, architecture and Go version
}

func (b *builder) source(ctx context.Context, a asset) (source, error) {
	s := source{dir: filepath.Join(b.root, "hack", a.module)}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(s.dir, name))
		// A module without requirements has no go.sum.
		if err != nil && !(name == "go.sum" && errors.Is(err, os.ErrNotExist)) {
			return source{}, err
		}
		s.pins = append(s.pins, content...)
	}
	var err error
	if s.version, err = s.required(ctx, a.versionOf); err != nil {
		return source{}, err
	}
	s.flags = a.flags(s.version)
	target, err := s.run(ctx, "env", "GOOS", "GOARCH", "GOVERSION")
	s.target = string(target)
	return s, err
}

// key names the build in the cache.
func (s source) key() string {
	return s.version + "-" + shortHash(s.pins, []byte(strings.Join(s.flags, "\x00")), []byte(s.target))
}

// required returns the version in which the module requires path.
func (s source) required(ctx context.Context, path string) (string, error) {
	out, err := s.run(ctx, "mod", "edit", "-json")
	if err != nil {
		return "", err
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return "", err
	}
	for _, r := range mod.Require {
		if r.Path == path {
			return r.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", filepath.Join(s.dir, "go.mod"), path)
}

func (s source) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	return goCommand(ctx, s.dir, args...)
}

func (s source) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := s.goCommand(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, tail(stderr.Bytes()))
	}
	return out, nil
}

func shortHash(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		// The length in front keeps two parts from reading as one.
		fmt.Fprintf(h, "%d ", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// repositoryRoot walks up from the working folder to the project's go.mod:
// tests run in the folders of their packages.
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && isRootModule(content) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a clone of %s", start, rootModule)
		}
	}
}

const rootModule = "github.com/trail-operator/trail-operator"

// isRootModule tells the project's go.mod from those of the modules under hack/.
func isRootModule(gomod []byte) bool {
	for line := range strings.Lines(string(gomod)) {
		if strings.TrimSpace(line) == "module "+rootModule {
			return true
		}
	}
	return false
}
