//go:build linux

package cluster

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed files
var files embed.FS

// writeFiles writes the configuration of the node's programs. The cgroup has
// another name each time the node starts.
func (c *Cluster) writeFiles() error {
	templates, err := template.ParseFS(files, "files/*")
	if err != nil {
		return err
	}
	values := map[string]string{
		"Dir": c.Dir, "Cgroup": "/" + c.node.cgroup, "Plugins": c.programs["cni"], "PauseImage": PodImage,
		"NodeName": NodeName, "NodeIP": NodeIP, "PodRange": podRange, "ClientCA": c.pki("ca.crt"),
	}
	for _, t := range templates.Templates() {
		var b strings.Builder
		if err := t.Option("missingkey=error").Execute(&b, values); err != nil {
			return fmt.Errorf("rendering %s: %w", t.Name(), err)
		}
		path := c.path("conf", t.Name())
		if filepath.Ext(path) == ".conflist" {
			path = c.path("conf", "cni", t.Name()) // its folder holds nothing else
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
