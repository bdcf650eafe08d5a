package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// download writes the bucket into a folder, as `aws s3 sync` does: without
// metadata, with the objects' times.
func (f *fixture) download(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for key, o := range f.store.Objects() {
		write(t, dir, key, o.Body)
		if err := os.Chtimes(filepath.Join(dir, key), o.Modified, o.Modified); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, dir, key string, b []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Folder {
	t.Helper()
	folder, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.Close)
	return folder
}

func (f *fixture) folderOptions(t *testing.T, dir string) Options {
	o := f.options()
	o.Reader, o.Bucket, o.DetachedSignatures = open(t, dir), "", true
	return o
}

func TestFolderWithHead(t *testing.T) {
	f := newFixture(t)
	f.Final(t, at("14:10:00"), 1)
	f.Restart(at("15:00:00"))
	f.Hours(t, 1, 1)
	f.LogFile(t, at("16:05:00"))
	r := f.run(t, f.folderOptions(t, f.download(t)))
	wantFindings(t, r)
	if r.Digests != (Count{Total: 7, Valid: 7}) || r.LogFiles != (Count{Total: 12, Valid: 12}) || r.Undigested != 1 || r.Bucket != "audit" {
		t.Errorf("%+v", r)
	}
}

func TestFolderWithSidecar(t *testing.T) {
	f := newFixture(t)
	dir := f.download(t)
	options := func() Options {
		o := f.folderOptions(t, dir)
		o.Heads = nil
		return o
	}
	wantFindings(t, f.run(t, options()), Finding{Kind: DigestSignature, Key: f.Digests[4]})

	sidecar := func(signature string) {
		write(t, dir, f.Digests[4]+SidecarSuffix, fmt.Appendf(nil,
			`{"LastModified": "2026-03-01T14:00:01+00:00", "Metadata": {"Signature-Algorithm": "SHA256withRSA", "signature": %q}}`, signature))
	}
	sidecar(f.Last.Signature)
	wantFindings(t, f.run(t, options()))
	sidecar(strings.Repeat("00", 256))
	wantFindings(t, f.run(t, options()), Finding{Kind: DigestSignature, Key: f.Digests[4]})

	write(t, dir, f.Digests[4]+SidecarSuffix, []byte("{"))
	if _, err := Run(context.Background(), options()); err == nil || !strings.Contains(err.Error(), "head-object") {
		t.Errorf("a damaged sidecar: %v", err)
	}
}

func TestTamperedFolder(t *testing.T) {
	f := newFixture(t)
	dir := f.download(t)
	write(t, dir, f.Files[2], verifytest.Gzip(t, []byte("{}")))
	if err := os.Remove(filepath.Join(dir, f.Files[7])); err != nil {
		t.Fatal(err)
	}
	planted := f.Layout.LogFile(at("10:00:00"), "planted000000000")
	write(t, dir, planted, nil)
	if err := os.Chtimes(filepath.Join(dir, planted), at("10:01:00"), at("10:01:00")); err != nil {
		t.Fatal(err)
	}
	wantFindings(t, f.run(t, f.folderOptions(t, dir)), Finding{Kind: LogFileInvalid, Key: f.Files[2]},
		Finding{Kind: LogFileMissing, Key: f.Files[7]}, Finding{Kind: LogFileUnlisted, Key: planted})
}

// A signed digest may list keys that are no paths at all.
func TestKeysThatAreNoPaths(t *testing.T) {
	f := newFixture(t)
	in := digest.Input{
		Layout: f.Layout, Trail: f.Name, Bucket: f.Bucket, Window: digest.Window{Start: f.End(), End: f.End().Add(time.Hour)},
		Sequence: 6, ChainID: f.Last.Head.ChainID, Previous: f.Last.Previous(), Signer: f.Key,
	}
	keys := []string{"../outside", "/etc/passwd", "a//b", ""}
	for _, key := range keys {
		in.Files = append(in.Files, record.DigestLogFile{
			S3Bucket: "audit", S3Object: key, HashAlgorithm: record.HashAlgorithm,
			OldestEventTime: "2026-03-01T14:00:00Z", NewestEventTime: "2026-03-01T14:00:00Z",
		})
	}
	f.Sign(t, in)
	dir := f.download(t)
	write(t, filepath.Dir(dir), "outside", nil)
	var want []Finding
	for _, key := range keys {
		want = append(want, Finding{Kind: LogFileInvalid, Key: key})
	}
	wantFindings(t, f.run(t, f.folderOptions(t, dir)), want...)
}

func TestFolderStaysInside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, "secret", []byte("secret"))
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := open(t, dir)
	for _, key := range []string{"link", "folder/secret", "folder", "pipe", "../" + filepath.Base(outside) + "/secret"} {
		if body, _, err := folder.Get(context.Background(), key); err == nil {
			body.Close()
			t.Errorf("%s could be read", key)
		}
	}
	for info, err := range folder.List(context.Background(), "", "") {
		t.Errorf("%q was listed (%v)", info.Key, err)
	}
	for _, err := range folder.List(context.Background(), "../", "") {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("a prefix outside: %v", err)
		}
	}
}

// Subfolders are kept open, but not all of them.
func TestFolderWithManySubfolders(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 * maxOpen {
		write(t, dir, fmt.Sprintf("a/%d/file", i), fmt.Append(nil, i))
	}
	if err := os.Symlink("../1/file", filepath.Join(dir, "a/0/link")); err != nil {
		t.Fatal(err)
	}
	folder := open(t, dir)
	var g errgroup.Group
	for i := range 9 * maxOpen {
		g.Go(func() error {
			i %= 3 * maxOpen
			body, _, err := folder.Get(t.Context(), fmt.Sprintf("a/%d/file", i))
			if err != nil {
				return err
			}
			defer body.Close()
			if b, err := io.ReadAll(body); string(b) != fmt.Sprint(i) {
				return fmt.Errorf("file %d has %q, %w", i, b, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if body, _, err := folder.Get(t.Context(), "a/0/link"); err != nil {
		t.Errorf("a link within the folder: %v", err)
	} else {
		body.Close()
	}
	if _, _, err := folder.Get(t.Context(), "a/none/file"); !errors.Is(err, objectstore.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	if n := len(folder.subfolders); n > maxOpen {
		t.Errorf("%d subfolders are open", n)
	}
}

// A folder lists its files in the order, and with the limits, of a bucket.
func TestFolderListsLikeABucket(t *testing.T) {
	f := newFixture(t)
	for _, key := range []string{"a", "a.b", "a-b/c", "a/b", "a/b.c", "a/b/c", "ab/c", "é/x"} {
		if key != "a" && key != "a/b" { // these cannot be both files and folders
			f.Put(t, key, nil, nil)
		}
	}
	dir := f.download(t)
	write(t, dir, "a/b.c"+SidecarSuffix, []byte("{}"))
	folder := open(t, dir)
	keys := func(s Reader, prefix, after string) []string {
		var keys []string
		for info, err := range s.List(context.Background(), prefix, after) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, info.Key)
		}
		return keys
	}
	all := append(keys(f.store, "", ""), "", "a/", "a/b", "zz", "shop/all/AWSLogs", "shop/all/AWSLogs/")
	for _, prefix := range slices.Concat(all, []string{"sho", "a-"}) {
		for _, after := range all {
			if diff := cmp.Diff(keys(f.store, prefix, after), keys(folder, prefix, after)); diff != "" {
				t.Fatalf("prefix %q after %q: (-bucket +folder)\n%s", prefix, after, diff)
			}
		}
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	if _, err := OpenFolder(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("it was opened")
	}
	folder := open(t, t.TempDir())
	if _, _, err := folder.Get(context.Background(), "none"); !errors.Is(err, objectstore.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	for _, err := range folder.List(context.Background(), "none/", "") {
		t.Errorf("something was listed (%v)", err)
	}
}
