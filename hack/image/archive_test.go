package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestArchive(t *testing.T) {
	archive := testArchive(t)
	files := unpack(t, archive)

	var manifests []manifest
	unmarshal(t, files["manifest.json"].content, &manifests)
	if len(manifests) != 1 || !slices.Equal(manifests[0].RepoTags, []string{"example/manager:1"}) {
		t.Fatalf("manifest = %+v", manifests)
	}
	m := manifests[0]

	var c config
	unmarshal(t, files[m.Config].content, &c)
	if m.Config != digest(files[m.Config].content)+".json" {
		t.Errorf("the configuration's name %s is not its digest", m.Config)
	}
	if c.OS != "linux" || c.Architecture != "arm64" || c.Config.User != "65532:65532" ||
		!slices.Equal(c.Config.Entrypoint, []string{"/trail-operator"}) {
		t.Errorf("config = %+v", c)
	}

	if len(m.Layers) != 2 || len(c.RootFS.DiffIDs) != 2 {
		t.Fatalf("%d layers and %d digests, want two of each", len(m.Layers), len(c.RootFS.DiffIDs))
	}
	for i, name := range m.Layers {
		if want := "sha256:" + digest(files[name].content); c.RootFS.DiffIDs[i] != want {
			t.Errorf("layer %d: digest %s, want %s", i, c.RootFS.DiffIDs[i], want)
		}
	}
	certificates := unpack(t, files[m.Layers[0]].content)
	for _, dir := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/"} {
		if certificates[dir].mode != 0o755 {
			t.Errorf("folder %s has mode %o", dir, certificates[dir].mode)
		}
	}
	if f := certificates["etc/ssl/certs/ca-certificates.crt"]; string(f.content) != "certificates" || f.mode != 0o644 {
		t.Errorf("CA bundle = %q, mode %o", f.content, f.mode)
	}
	program := unpack(t, files[m.Layers[1]].content)
	if f := program["trail-operator"]; string(f.content) != "program" || f.mode != 0o755 {
		t.Errorf("program = %q, mode %o", f.content, f.mode)
	}
}

func TestArchiveIsReproducible(t *testing.T) {
	if !bytes.Equal(testArchive(t), testArchive(t)) {
		t.Error("the same files gave different archives")
	}
}

func TestArchiveNeedsItsFiles(t *testing.T) {
	_, err := newArchive("example/manager:1", "amd64", layer{path: "a", source: filepath.Join(t.TempDir(), "none")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want that the file is missing", err)
	}
}

func testArchive(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	source := func(content string) string {
		path := filepath.Join(dir, content)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	archive, err := newArchive("example/manager:1", "arm64",
		layer{path: "etc/ssl/certs/ca-certificates.crt", source: source("certificates"), mode: 0o644},
		layer{path: "trail-operator", source: source("program"), mode: 0o755})
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

type entry struct {
	content []byte
	mode    int64
}

func unpack(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	files := map[string]entry{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = entry{content, header.Mode}
	}
}

func unmarshal(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%v in %q", err, content)
	}
}
