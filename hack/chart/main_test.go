package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

const root = "../.."

// TestUpToDate: what is committed is what is generated, and nothing else.
func TestUpToDate(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, chartDir, name))
		if err != nil {
			t.Errorf("%v; run make generate", err)
			continue
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s is not up to date; run make generate (- generated, + present)\n%s", name, d)
		}
	}
	for _, folder := range copied {
		present, err := filepath.Glob(filepath.Join(root, chartDir, folder, "*"))
		if err != nil || len(present) == 0 {
			t.Errorf("%s: %d files, %v", folder, len(present), err)
		}
		for _, path := range present {
			if files[folder+"/"+filepath.Base(path)] == nil {
				t.Errorf("%s is not generated any more; run make generate", path)
			}
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, copied[0], "stale.yaml")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, files); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("a file that is not generated any more stays: %v", err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// presetsOf returns the documented values of values.yaml, by path.
func presetsOf(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := readValues(content)
	if err != nil {
		t.Fatal(err)
	}
	presets := map[string]string{}
	for _, v := range list {
		presets[v.path] = v.preset
	}
	return presets
}

// TestManagerConfiguration: each field of the manager's configuration is a
// documented value, or one that the chart sets by itself.
func TestManagerConfiguration(t *testing.T) {
	presets, unused := presetsOf(t), maps.Clone(derived)
	var fields func(typ reflect.Type, at string)
	fields = func(typ reflect.Type, at string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			path := strings.TrimPrefix(at+"."+name, ".")
			delete(unused, path)
			if _, ok := derived[path]; ok {
				continue
			}
			if f.Type.Kind() == reflect.Pointer {
				f.Type = f.Type.Elem()
			}
			if f.Type.Kind() == reflect.Struct && strings.HasSuffix(f.Type.PkgPath(), "/managerconfig") {
				fields(f.Type, path)
				continue
			}
			if _, ok := presets[path]; !ok {
				t.Errorf("values.yaml lacks %s, a field of the manager's configuration", path)
			}
		}
	}
	fields(reflect.TypeFor[managerconfig.Config](), "")
	for path := range unused {
		t.Errorf("the manager's configuration has no field %s, which the chart is said to set", path)
	}
}

// TestSchema: values.yaml has every value of the schema, and nothing else.
func TestSchema(t *testing.T) {
	files := map[string][]byte{}
	if err := valuesSchema(root, files); err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage
	}
	var want []string
	var leaves func(raw json.RawMessage, at string)
	leaves = func(raw json.RawMessage, at string) {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		for name, property := range o.Properties {
			leaves(property, strings.TrimPrefix(at+"."+name, "."))
		}
		if len(o.Properties) == 0 && at != "global" {
			want = append(want, at)
		}
	}
	leaves(files["values.schema.json"], "")
	var got []string
	for path, preset := range presetsOf(t) {
		if preset != "" {
			got = append(got, path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(- schema, + values.yaml)\n%s", d)
	}
}

func TestReadValues(t *testing.T) {
	got, err := readValues([]byte(`# About the file.

# First
# value.
a: 1
group:
  # Inner.
  b: {c: [x]}
`))
	want := []value{{"a", "First value.", "`1`"}, {"group.b", "Inner.", "`{\"c\":[\"x\"]}`"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(value{})); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, in := range []string{"", "a: 1", "# A.\na: 1\nb: 2", "# A.\na:\n  # B.\n  b: 1\n  c: 2", "a: ["} {
		if _, err := readValues([]byte(in)); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestSources(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no CRDs":       {"config/crd/Kustomization": ""},
		"no RBAC":       {"config/crd/a.yaml": "a"},
		"same name":     {"config/crd/a.yaml": "a", "config/rbac/Kustomization": "resources: [r]", "config/rbac/r": "kind: Role\n---\nkind: Role\n"},
		"no alerts":     {"config/crd/a.yaml": "a", "config/rbac/Kustomization": "resources: []", "docs/metrics.md": "# x\n"},
		"broken object": {"config/crd/a.yaml": "a", "config/rbac/Kustomization": "resources: [r]", "config/rbac/r": "kind: [\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, content := range files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := generate(dir); err == nil {
				t.Error("accepted")
			}
		})
	}
}
