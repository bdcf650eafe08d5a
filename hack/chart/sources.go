package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// crds copies the CustomResourceDefinitions as they are.
func crds(root string, files map[string][]byte) error {
	paths, err := filepath.Glob(filepath.Join(root, "config/crd/*.yaml"))
	if err != nil || len(paths) == 0 {
		return errors.Join(err, errors.New("config/crd holds no CustomResourceDefinitions"))
	}
	for _, path := range paths {
		if files["files/crds/"+filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	return nil
}

// rbac splits what config/rbac holds into a file for each object, without the
// namespace, which Helm makes.
func rbac(root string, files map[string][]byte) error {
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	content, err := os.ReadFile(filepath.Join(root, "config/rbac/Kustomization"))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(content, &kustomization); err != nil {
		return fmt.Errorf("config/rbac/Kustomization: %w", err)
	}
	for _, name := range kustomization.Resources {
		content, err := os.ReadFile(filepath.Join(root, "config/rbac", name))
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq("\n"+string(content), "\n---\n") {
			if err := rbacObject([]byte(document), files); err != nil {
				return fmt.Errorf("config/rbac/%s: %w", name, err)
			}
		}
	}
	return nil
}

func rbacObject(document []byte, files map[string][]byte) error {
	var object struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &object); err != nil {
		return err
	}
	switch object.Kind {
	case "", "Namespace":
		return nil
	}
	name := "files/rbac/" + strings.ToLower(object.Kind) + "-" + object.Metadata.Name + ".yaml"
	if files[name] != nil {
		return fmt.Errorf("the %s %s stands there twice", object.Kind, object.Metadata.Name)
	}
	files[name] = append(bytes.TrimSpace(document), '\n')
	return nil
}

// alerts takes the groups of the PrometheusRule that docs/metrics.md shows.
func alerts(root string, files map[string][]byte) error {
	page, err := os.ReadFile(filepath.Join(root, "docs/metrics.md"))
	if err != nil {
		return err
	}
	_, section, _ := strings.Cut(string(page), "\n## Alerts\n")
	_, section, _ = strings.Cut(section, "```yaml\n")
	block, _, found := strings.Cut(section, "```")
	_, spec, ok := strings.Cut(block, "\nspec:\n")
	if !found || !ok {
		return errors.New("docs/metrics.md shows no PrometheusRule below Alerts")
	}
	var b strings.Builder
	for line := range strings.Lines(spec) {
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	files["files/alerts.yaml"] = []byte(b.String())
	return nil
}
