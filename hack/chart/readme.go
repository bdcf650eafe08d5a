package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The table of values stands between these lines of the README.
const (
	tableBegin = "<!-- values: generated from values.yaml -->\n"
	tableEnd   = "<!-- end of values -->"
)

// readme renews the table of values in the chart's README.
func readme(root string, files map[string][]byte) error {
	content, err := os.ReadFile(filepath.Join(root, chartDir, "values.yaml"))
	if err != nil {
		return err
	}
	documented, err := readValues(content)
	if err != nil {
		return fmt.Errorf("values.yaml: %w", err)
	}
	page, err := os.ReadFile(filepath.Join(root, chartDir, "README.md"))
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		return errors.New("the README of the chart has no place for the table of values")
	}
	var b strings.Builder
	b.WriteString(before + tableBegin + "| value | meaning | default |\n|---|---|---|\n")
	for _, v := range documented {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.path, strings.ReplaceAll(v.comment, "|", `\|`), v.preset)
	}
	b.WriteString(tableEnd + after)
	files["README.md"] = []byte(b.String())
	return nil
}

// value is a documented entry of values.yaml.
type value struct {
	path    string
	comment string // in one line
	preset  string // the default, as Markdown; empty for a group of values
}

// readValues returns the documented values in their order. A value without a
// comment must be part of one that has.
func readValues(content []byte) ([]value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 {
		return nil, errors.New("must be one document")
	}
	return group(document.Content[0], "")
}

// group reads the values of a mapping.
func group(n *yaml.Node, at string) ([]value, error) {
	var list []value
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		path := strings.TrimPrefix(at+"."+key.Value, ".")
		comment := oneLine(key.HeadComment)
		isGroup := v.Kind == yaml.MappingNode && v.Style != yaml.FlowStyle && len(v.Content) > 0 && v.Content[0].HeadComment != ""
		if comment == "" && !isGroup {
			return nil, fmt.Errorf("%s is not documented", path)
		}
		var below []value
		var preset string
		var err error
		if isGroup {
			below, err = group(v, path)
		} else {
			preset, err = asJSON(v)
		}
		if err != nil {
			return nil, err
		}
		if comment != "" {
			list = append(list, value{path, comment, preset})
		}
		list = append(list, below...)
	}
	return list, nil
}

// oneLine is the last paragraph of a comment: what stands above a blank line
// is about the file.
func oneLine(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.Fields(strings.TrimLeft(line, "# "))...)
	}
	return strings.Join(words, " ")
}

func asJSON(n *yaml.Node) (string, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return "", err
	}
	b, err := json.Marshal(v)
	return "`" + string(b) + "`", err
}
