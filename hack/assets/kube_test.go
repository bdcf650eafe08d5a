package assets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsersOwnControlPlaneWins(t *testing.T) {
	b := newTiny(t)
	b.catalog[0].kube = true
	own := t.TempDir()
	t.Setenv(KubeEnv, own)

	_, err := b.ensure(t.Context(), []string{"tiny"})
	if err == nil || !strings.Contains(err.Error(), KubeEnv+" is set to") {
		t.Errorf("a missing program gave %v, want a sentence that names %s", err, KubeEnv)
	}

	want := filepath.Join(own, "tiny")
	if err := os.WriteFile(want, []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	paths, err := b.ensure(t.Context(), []string{"tiny"})
	if err != nil || paths["tiny"] != want {
		t.Errorf("got %v, %v, want %s", paths, err, want)
	}
	if dir, err := b.kubeDir(t.Context()); err != nil || dir != own {
		t.Errorf("kubeDir = %q, %v, want %q", dir, err, own)
	}
}

func TestKubeDirLinksToTheCache(t *testing.T) {
	b := newTiny(t)
	b.catalog[0].kube = true
	for range 2 { // the second time finds the links
		dir, err := b.kubeDir(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !isProgram(filepath.Join(dir, "tiny")) {
			t.Errorf("%s holds no program", dir)
		}
	}
}

func TestRepositoryRootFromAToolModule(t *testing.T) {
	b := newTiny(t)
	t.Chdir(filepath.Join(b.root, "hack", "tiny"))
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(b.root)
	if err != nil {
		t.Fatal(err)
	}
	if root != want && root != b.root {
		t.Errorf("root = %s, want %s", root, want)
	}

	t.Chdir(t.TempDir())
	if _, err := repositoryRoot(); err == nil {
		t.Error("found a repository outside of any")
	}
}

// TestCatalog checks that every entry can be found in the module it names.
func TestCatalog(t *testing.T) {
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{root: root}
	for _, a := range catalog {
		s, err := b.source(t.Context(), a)
		if err != nil {
			t.Errorf("%s: %v", a.name, err)
			continue
		}
		if !strings.HasPrefix(s.version, "v") {
			t.Errorf("%s: version %q", a.name, s.version)
		}
	}
}
