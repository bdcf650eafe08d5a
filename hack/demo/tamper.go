package main

import (
	"bytes"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// rewrite changes an object on the S3 server's own disk, behind every API.
func rewrite(path, from, to string) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	after, err := replaced(before, from, to)
	if err != nil {
		return err
	}
	return os.WriteFile(path, after, 0o600)
}

func replaced(zipped []byte, from, to string) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(bytes.ReplaceAll(raw, []byte(from), []byte(to))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
