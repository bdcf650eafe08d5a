package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path"
	"strings"
	"time"
)

// entrypoint is where the program stands in every image.
const entrypoint = "/trail-operator"

// nonRoot is a user that no system gives rights to.
const nonRoot = "65532:65532"

// layer is a layer of an image with one file in it.
type layer struct {
	path   string // in the image, without the leading slash
	source string // the file to copy
	mode   int64
}

// The two documents of an archive, with the fields that container engines read.
type (
	manifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	config struct {
		Architecture string    `json:"architecture"`
		OS           string    `json:"os"`
		Created      time.Time `json:"created"`
		Config       runConfig `json:"config"`
		RootFS       rootFS    `json:"rootfs"`
	}
	runConfig struct {
		User       string
		Entrypoint []string
		WorkingDir string
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
)

// newArchive returns a docker-archive. The same files give the same bytes: no
// time of the build, no name of the builder is in it.
func newArchive(tag, arch string, layers ...layer) ([]byte, error) {
	m := manifest{RepoTags: []string{tag}}
	c := config{
		Architecture: arch,
		OS:           "linux",
		Created:      time.Unix(0, 0).UTC(),
		Config:       runConfig{User: nonRoot, Entrypoint: []string{entrypoint}, WorkingDir: "/"},
		RootFS:       rootFS{Type: "layers"},
	}
	var archive tarball
	for _, l := range layers {
		content, err := l.tar()
		if err != nil {
			return nil, err
		}
		name := digest(content) + ".tar"
		archive.file(name, content, 0o644)
		m.Layers = append(m.Layers, name)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, "sha256:"+digest(content))
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	m.Config = digest(encoded) + ".json"
	archive.file(m.Config, encoded, 0o644)
	if encoded, err = json.Marshal([]manifest{m}); err != nil {
		return nil, err
	}
	archive.file("manifest.json", encoded, 0o644)
	return archive.close()
}

// tar packs the file and the folders above it.
func (l layer) tar() ([]byte, error) {
	content, err := os.ReadFile(l.source)
	if err != nil {
		return nil, err
	}
	var t tarball
	var dir string
	for _, element := range strings.Split(path.Dir(l.path), "/") {
		if element != "." {
			dir += element + "/"
			t.add(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
		}
	}
	t.file(l.path, content, l.mode)
	return t.close()
}

// tarball is a tar file in memory; close returns the first error of all calls.
type tarball struct {
	buf bytes.Buffer
	w   *tar.Writer
	err error
}

func (t *tarball) file(name string, content []byte, mode int64) {
	t.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content)
}

func (t *tarball) add(header *tar.Header, content []byte) {
	if t.w == nil {
		t.w = tar.NewWriter(&t.buf)
	}
	if t.err != nil {
		return
	}
	header.ModTime = time.Unix(0, 0)
	if t.err = t.w.WriteHeader(header); t.err == nil {
		_, t.err = t.w.Write(content)
	}
}

func (t *tarball) close() ([]byte, error) {
	if t.err == nil && t.w != nil {
		t.err = t.w.Close()
	}
	return t.buf.Bytes(), t.err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
