// Package assets builds the programs that tests, the demo and the linter run
// beside the project's own: a Kubernetes control plane, S3 servers and tools.
//
// Each of them is pinned in a Go module of its own under hack/, is built from
// source once, and is kept in the user's cache folder under its version, so
// that a new clone, or a parallel test process, finds it there.
package assets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KubeEnv names the variable with which a user brings a control plane of their
// own. It is the variable that controller-runtime's envtest reads, too.
const KubeEnv = "KUBEBUILDER_ASSETS"

// Ensure returns the path of each named program, after building those that are
// not in the cache. What takes long is told to progress.
func Ensure(ctx context.Context, progress io.Writer, names ...string) (map[string]string, error) {
	b, err := newBuilder(progress)
	if err != nil {
		return nil, err
	}
	return b.ensure(ctx, names)
}

// KubeDir returns a folder that holds kube-apiserver, etcd and kubectl, as
// envtest wants them.
func KubeDir(ctx context.Context, progress io.Writer) (string, error) {
	b, err := newBuilder(progress)
	if err != nil {
		return "", err
	}
	return b.kubeDir(ctx)
}

// Names lists what Ensure can build.
func Names() []string {
	var names []string
	for _, a := range catalog {
		names = append(names, a.name)
	}
	return names
}

// builder builds the assets of one catalog into one cache folder.
type builder struct {
	root     string // of the repository
	cache    string
	catalog  []asset
	progress io.Writer
}

func newBuilder(progress io.Writer) (*builder, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache folder: %w", err)
	}
	return &builder{
		root:     root,
		cache:    filepath.Join(cache, "trail-operator", "assets"),
		catalog:  catalog,
		progress: progress,
	}, nil
}

func (b *builder) ensure(ctx context.Context, names []string) (map[string]string, error) {
	paths := make(map[string]string, len(names))
	for _, name := range names {
		a, err := b.lookup(name)
		if err != nil {
			return nil, err
		}
		if paths[name], err = b.path(ctx, a); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func (b *builder) lookup(name string) (asset, error) {
	known := make([]string, 0, len(b.catalog))
	for _, a := range b.catalog {
		if a.name == name {
			return a, nil
		}
		known = append(known, a.name)
	}
	return asset{}, fmt.Errorf("no asset is called %q; there are %s", name, strings.Join(known, ", "))
}

func (b *builder) path(ctx context.Context, a asset) (string, error) {
	if dir := os.Getenv(KubeEnv); a.kube && dir != "" {
		return given(dir, a.name)
	}
	return b.build(ctx, a)
}

// given returns the program that the user provides through KubeEnv.
func given(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if !isProgram(path) {
		return "", fmt.Errorf("%s is set to %q, but there is no executable %q in it; "+
			"put it there, or unset the variable to have it built", KubeEnv, dir, name)
	}
	return path, nil
}

// kubeDir links the programs of the control plane into one folder, since the
// cache keeps each in a folder of its own.
func (b *builder) kubeDir(ctx context.Context) (string, error) {
	var names []string
	for _, a := range b.catalog {
		if a.kube {
			names = append(names, a.name)
		}
	}
	paths, err := b.ensure(ctx, names)
	if err != nil {
		return "", err
	}
	if dir := os.Getenv(KubeEnv); dir != "" {
		return dir, nil
	}
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		fmt.Fprintln(&all, paths[name])
	}
	dir := filepath.Join(b.cache, "kube", shortHash([]byte(all.String())))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range names {
		// The folder's name stands for the link targets: a link that exists is right.
		if err := os.Symlink(paths[name], filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	return dir, nil
}
