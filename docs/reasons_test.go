package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var reasonConstant = regexp.MustCompile(`(?m)^\s*(Reason[A-Za-z]+)\s*=\s*"([A-Za-z]+)"`)

// TestReasons: each reason of a condition or an Event is used by the product and
// explained by a page.
func TestReasons(t *testing.T) {
	source, err := filepath.Glob("../api/v1alpha1/*.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{} // by constant
	for _, path := range source {
		for _, m := range reasonConstant.FindAllStringSubmatch(text(t, path), -1) {
			reasons[m[1]] = m[2]
		}
	}
	if len(reasons) < 40 {
		t.Fatalf("only %d reasons were found", len(reasons))
	}
	var code, pages strings.Builder
	gather(t, &code, ".go", "../controllers", "../internal")
	gather(t, &pages, ".md", ".")
	for constant, reason := range reasons {
		if !regexp.MustCompile(`\bv1alpha1\.` + constant + `\b`).MatchString(code.String()) {
			t.Errorf("nothing uses v1alpha1.%s", constant)
		}
		if !strings.Contains(pages.String(), "`"+reason+"`") {
			t.Errorf("no page explains `%s`", reason)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// gather reads all files of a kind below the folders, but tests.
func gather(t *testing.T, into *strings.Builder, extension string, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != extension || strings.HasSuffix(path, "_test.go") {
				return err
			}
			into.WriteString(text(t, path))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
