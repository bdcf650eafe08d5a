// Package docs_test keeps the documentation true where a program can tell.
package docs_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

// page returns the text of a page without its code blocks.
func page(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return codeBlock.ReplaceAllString(string(b), "")
}

var (
	codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	notInID   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// pages are the paths of all Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "bin" || name == "dist" || strings.HasPrefix(name, ".") && path != root) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".md") {
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Fatalf("only %d pages were found", len(list))
	}
	return list
}

// anchors are the names by which headings of a page can be linked, as GitHub
// makes them.
func anchors(text string) map[string]bool {
	list := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		id := notInID.ReplaceAllString(strings.ToLower(strings.ReplaceAll(m[1], "`", "")), "")
		list[strings.ReplaceAll(id, " ", "-")] = true
	}
	return list
}

func TestLinks(t *testing.T) {
	for _, path := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(page(t, path), ""), -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: the link %s is malformed", path, m[1])
				continue
			}
			if to.Scheme != "" {
				continue
			}
			target := path
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(path), to.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, m[1])
				continue
			}
			if to.Fragment != "" && !anchors(page(t, target))[to.Fragment] {
				t.Errorf("%s: the link %s names no heading of that page", path, m[1])
			}
		}
	}
}

// TestIndex: every page of docs is reached from its index.
func TestIndex(t *testing.T) {
	index := page(t, "README.md")
	for _, path := range pages(t) {
		rel, err := filepath.Rel(root+"/docs", path)
		if err != nil || strings.HasPrefix(rel, "..") || rel == "README.md" || strings.HasPrefix(rel, "adr/2") {
			continue
		}
		if !strings.Contains(index, "]("+filepath.ToSlash(rel)+")") {
			t.Errorf("docs/README.md has no link to %s", rel)
		}
	}
}

var mapRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// TestSourceMap: the source map names what exists, and every folder with code.
func TestSourceMap(t *testing.T) {
	_, section, found := strings.Cut(page(t, "architecture.md"), "\n## Source map\n")
	if !found {
		t.Fatal("architecture.md has no source map")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var named []string
	for _, m := range mapRow.FindAllStringSubmatch(section, -1) {
		named = append(named, m[1])
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("the source map names %s, which does not exist", m[1])
		}
	}
	for _, top := range []string{"api", "cmd", "controllers", "internal", "hack", "test"} {
		folders, err := filepath.Glob(filepath.Join(root, top, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			rel := filepath.ToSlash(strings.TrimPrefix(f, root+string(filepath.Separator)))
			if info, err := os.Stat(f); err != nil || !info.IsDir() || mapped(named, rel) {
				continue
			}
			t.Errorf("the source map lacks %s", rel)
		}
	}
}

// mapped reports whether the folder, or a part of it, is in the source map.
func mapped(named []string, folder string) bool {
	for _, n := range named {
		if n == folder || strings.HasPrefix(n, folder+"/") || strings.HasPrefix(folder, strings.TrimSuffix(n, "/")+"/") {
			return true
		}
	}
	return false
}
