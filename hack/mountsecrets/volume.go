package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// volume is a folder written as the kubelet writes one: the files lie in a
// folder of their own, ..data points to it, and the visible names point through
// ..data, so that one rename changes everything.
type volume struct {
	dir  string
	last map[string][]byte
}

func (v *volume) write(files map[string][]byte) error {
	if v.last != nil && maps.EqualFunc(v.last, files, bytes.Equal) {
		return nil
	}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("..%d", time.Now().UnixNano())
	if err := os.Mkdir(filepath.Join(v.dir, name), 0o700); err != nil {
		return err
	}
	for k, content := range files {
		if err := os.WriteFile(filepath.Join(v.dir, name, k), content, 0o600); err != nil {
			return err
		}
	}
	data := filepath.Join(v.dir, "..data")
	before, _ := os.Readlink(data)
	if err := os.Symlink(name, data+"_tmp"); err != nil {
		return err
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		return err
	}
	for k := range files {
		link := filepath.Join(v.dir, k)
		if _, err := os.Lstat(link); os.IsNotExist(err) {
			if err := os.Symlink(filepath.Join("..data", k), link); err != nil {
				return err
			}
		}
	}
	for k := range v.last {
		if _, ok := files[k]; !ok {
			if err := os.Remove(filepath.Join(v.dir, k)); err != nil {
				return err
			}
		}
	}
	v.last = maps.Clone(files)
	if before != "" {
		return os.RemoveAll(filepath.Join(v.dir, before))
	}
	return nil
}
