// Package trailoperator holds no code: its test keeps the layout's rules.
package trailoperator

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/trail-operator/trail-operator/"

// contracts may be imported by everybody. They import each other and nothing
// else of ours.
var contracts = []string{"api/v1alpha1", "internal/record", "internal/receiverconfig", "internal/receiverstatus", "internal/validation"}

// pure packages import contracts and other pure packages only.
var pure = []string{
	"internal/auditevent", "internal/mapping", "internal/selector", "internal/digest", "internal/signing",
	"internal/auditpolicy", "internal/pki", "internal/bucket", "internal/deflate", "internal/lossaccount", "internal/cron", "internal/serviceaccount",
}

// dataPlane moves audit data.
var dataPlane = []string{
	"internal/auditevent", "internal/intake", "internal/spool", "internal/mapping", "internal/deflate", "internal/outbox",
	"internal/upload", "internal/digest", "internal/pipeline", "internal/receiver", "internal/recorder",
}

// rules say, for the packages below a folder, what they must not import.
var rules = []struct {
	why    string
	in     []string
	except []string // folders that the rule leaves out
	forbid []string // of ours, below internal/ and so on, or foreign modules
	allow  []string
}{
	{"contracts import only contracts", contracts, nil, []string{module}, contracts},
	{"the API imports Kubernetes API packages only", []string{"api"}, nil, []string{module, "sigs.k8s.io/controller-runtime/pkg/client", "k8s.io/client-go"}, nil},
	{
		// internal/bucket speaks of buckets in the words of their interface.
		"pure packages import contracts and pure packages only", pure, nil,
		[]string{module},
		append(append([]string{"internal/objectstore"}, contracts...), pure...),
	},
	{"no byte of audit data passes through the control plane", []string{"controllers", "cmd/manager"}, nil, prefixed(dataPlane), nil},
	{
		"the read side shares only the formats with the writer",
		[]string{"internal/verify", "internal/validator", "internal/cloudtrailapi"},
		nil,
		prefixed([]string{"internal/spool", "internal/outbox", "internal/upload", "internal/pipeline"}), nil,
	},
	{"Pebble has one place", []string{""}, []string{"internal/spool/pebble", "test/perf"}, []string{"github.com/cockroachdb/pebble"}, nil},
	{"minio-go has one place", []string{""}, []string{"internal/objectstore/minio"}, []string{"github.com/minio/minio-go"}, nil},
	{"programs of the product know neither tests nor tools", []string{"api", "cmd", "controllers", "internal"}, nil, prefixed([]string{"test", "hack"}), nil},
}

func prefixed(folders []string) []string {
	list := make([]string, len(folders))
	for i, f := range folders {
		list[i] = module + f
	}
	return list
}

// below reports whether the package is one of the folders or below one.
func below(pkg string, folders []string) bool {
	for _, f := range folders {
		if f == "" || pkg == f || strings.HasPrefix(pkg, strings.TrimSuffix(f, "/")+"/") {
			return true
		}
	}
	return false
}

func TestImportRules(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			for _, r := range rules {
				if below(pkg, r.in) && !below(pkg, r.except) && below(imported, r.forbid) && !below(imported, prefixed(r.allow)) && !testSupport(pkg) {
					t.Errorf("%s imports %s: %s", path, imported, r.why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d files were looked at; run the test in the root of the repository", files)
	}
}

// testSupport reports whether a package serves tests only, like storetest.
func testSupport(pkg string) bool {
	return strings.HasSuffix(pkg, "test") || strings.HasPrefix(pkg, "test/") || strings.HasPrefix(pkg, "hack/")
}

// TestNames refuses names that say nothing about what lives there.
func TestNames(t *testing.T) {
	for _, word := range []string{"util", "utils", "common", "helper", "helpers", "misc", "constants"} {
		found, err := filepath.Glob("*/" + word + "*")
		if err != nil {
			t.Fatal(err)
		}
		deeper, err := filepath.Glob("*/*/" + word + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range append(found, deeper...) {
			if base := strings.TrimSuffix(filepath.Base(f), ".go"); base == word {
				t.Errorf("%s: name it for what it holds", f)
			}
		}
	}
}
