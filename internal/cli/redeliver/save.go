package redeliver

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/trail-operator/trail-operator/internal/cli/receiverapi"
	"github.com/trail-operator/trail-operator/internal/receiverclient"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Outcomes of saving a file.
const (
	saved       = "saved"
	savedBefore = "already saved"
)

// save writes the files below the folder, and nothing outside of it whatever
// their keys are.
func (o *options) save(ctx context.Context, c *receiverclient.Client, files []receiverstatus.Kept) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	var list []receiverstatus.KeptOutcome
	for i := range files {
		k := &files[i]
		out := receiverstatus.KeptOutcome{ID: k.ID, Outcome: saved, Records: k.Records, Reason: k.Key}
		before, err := saveOne(ctx, c, root, k)
		switch {
		case errors.Is(err, receiverclient.ErrNotKept):
			out.Outcome, out.Records, out.Reason = receiverstatus.KeptGone, 0, ""
		case err != nil && ctx.Err() != nil:
			return errors.New("interrupted; files that were saved are whole")
		case err != nil:
			out.Outcome, out.Records, out.Reason = receiverstatus.KeptRefused, 0, err.Error()
		case before:
			out.Outcome = savedBefore
		}
		list = append(list, out)
	}
	return receiverapi.Outcomes(o.streams.Out, o.output, list)
}

// saveOne writes one file, whole or not at all. It reports whether it was there.
func saveOne(ctx context.Context, c *receiverclient.Client, root *os.Root, k *receiverstatus.Kept) (before bool, err error) {
	name := filepath.FromSlash(k.Key)
	if !filepath.IsLocal(name) {
		return false, errors.New("its key is no path within a folder")
	}
	switch sum, err := sumOf(root, name); {
	case err == nil && sum == k.SHA256:
		return true, nil
	case err == nil:
		return false, errors.New("another file is there under its key")
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("look for the file: %w", err)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return false, fmt.Errorf("make its folder: %w", err)
	}
	part := name + ".part"
	f, err := root.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return false, fmt.Errorf("open its file: %w", err)
	}
	w := bufio.NewWriter(f)
	err = c.KeptContent(ctx, k, w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = root.Rename(part, name)
	}
	if err != nil {
		_ = root.Remove(part)
	}
	return false, err
}

// sumOf is the hex SHA-256 of a file.
func sumOf(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
