// Command chart generates what the Helm chart shares with the rest of the
// repository, so that the two cannot differ: CustomResourceDefinitions and
// rights come from config, alerts from docs/metrics.md, the schema of the values
// from the manager's configuration type, and the table of values in the chart's
// README from values.yaml.
//
//	go run ./hack/chart
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "chart:", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("chart", flag.ContinueOnError)
	root := flags.String("root", ".", "root of the repository")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files, err := generate(*root)
	if err != nil {
		return err
	}
	return write(filepath.Join(*root, chartDir), files)
}

const chartDir = "charts/trail-operator"

// copied are the folders of the chart that hold nothing but generated files.
var copied = []string{"files/crds", "files/rbac"}

// generate returns the generated files of the chart, by path in the chart.
func generate(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, step := range []func(root string, files map[string][]byte) error{
		crds, rbac, alerts, valuesSchema, readme,
	} {
		if err := step(root, files); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// write brings the chart up to date, and touches no file that is.
func write(dir string, files map[string][]byte) error {
	for _, folder := range copied {
		present, err := filepath.Glob(filepath.Join(dir, folder, "*"))
		if err != nil {
			return err
		}
		for _, path := range present {
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if files[filepath.ToSlash(rel)] != nil {
				continue
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, content) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
