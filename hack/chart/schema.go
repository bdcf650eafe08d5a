package main

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// schema is a JSON schema.
type schema map[string]any

// valuesSchema writes the schema of values.yaml: every field of the type
// values and nothing else.
func valuesSchema(_ string, files map[string][]byte) error {
	g := schemaGenerator{definitions: schema{}, unused: map[string]bool{}}
	for p := range rules {
		g.unused[p] = true
	}
	s, err := g.object(reflect.TypeFor[values](), "")
	if err != nil {
		return err
	}
	if len(g.unused) > 0 {
		return fmt.Errorf("rules for values that do not exist: %v", sortedKeys(g.unused))
	}
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["definitions"] = g.definitions
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	files["values.schema.json"] = append(out, '\n')
	return nil
}

type schemaGenerator struct {
	definitions schema // of the types of Kubernetes, by name
	unused      map[string]bool
}

// of returns the schema of a value, which stands at a path such as
// receiver.workload.
func (g *schemaGenerator) of(t reflect.Type, at string) (schema, error) {
	s, err := g.ofType(t, at)
	if err != nil {
		return nil, err
	}
	for keyword, v := range rules[at] {
		s[keyword] = v
	}
	delete(g.unused, at)
	return s, nil
}

func (g *schemaGenerator) ofType(t reflect.Type, at string) (schema, error) {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return schema{"type": []string{"string", "number"}}, nil
	case reflect.TypeFor[intstr.IntOrString]():
		return schema{"type": []string{"string", "integer"}}, nil
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.Duration]():
		return schema{"type": "string"}, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.pointer(t.Elem(), at)
	case reflect.String:
		return schema{"type": "string"}, nil
	case reflect.Bool:
		return schema{"type": "boolean"}, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return schema{"type": "integer"}, nil
	case reflect.Interface:
		return schema{}, nil
	case reflect.Slice:
		items, err := g.of(t.Elem(), at+"[]")
		return schema{"type": "array", "items": items}, err
	case reflect.Map:
		of, err := g.of(t.Elem(), at+"[]")
		return schema{"type": "object", "additionalProperties": of}, err
	case reflect.Struct:
		if !strings.HasPrefix(t.PkgPath(), "k8s.io/") {
			return g.object(t, at)
		}
		return g.definition(t)
	default:
		return nil, fmt.Errorf("%s: there is no schema for a %s", at, t)
	}
}

// pointer lets a value be null, which stands for one that is left out.
func (g *schemaGenerator) pointer(t reflect.Type, at string) (schema, error) {
	s, err := g.ofType(t, at)
	if err != nil {
		return nil, err
	}
	switch types := s["type"].(type) {
	case string:
		s["type"] = []string{types, "null"}
	case []string:
		s["type"] = append(types, "null")
	}
	return s, nil
}

// definition describes a type of Kubernetes once.
func (g *schemaGenerator) definition(t reflect.Type) (schema, error) {
	name := path.Base(path.Dir(t.PkgPath())) + "." + t.Name()
	if g.definitions[name] == nil {
		g.definitions[name] = schema{} // ends the recursion of a type that holds itself
		s, err := g.object(t, name)
		if err != nil {
			return nil, err
		}
		g.definitions[name] = s
	}
	return schema{"$ref": "#/definitions/" + name}, nil
}

// object describes a struct. Fields of embedded structs are its own. What its
// fields require holds where values.yaml has no defaults for them.
func (g *schemaGenerator) object(t reflect.Type, at string) (schema, error) {
	properties, required := schema{}, []string{}
	if err := g.fields(t, at, properties, &required); err != nil {
		return nil, err
	}
	s := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 && (strings.Contains(at, "[]") || strings.HasPrefix(t.PkgPath(), "k8s.io/")) {
		s["required"] = required
	}
	return s, nil
}

func (g *schemaGenerator) fields(t reflect.Type, at string, properties schema, required *[]string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case name == "" && f.Anonymous:
			if err := g.fields(f.Type, at, properties, required); err != nil {
				return err
			}
			continue
		case name == "":
			return fmt.Errorf("%s.%s has no name in JSON", t, f.Name)
		}
		in := strings.TrimPrefix(at+"."+name, ".")
		if _, ok := derived[in]; ok {
			continue
		}
		if properties[name] != nil {
			return fmt.Errorf("two values are called %s", in)
		}
		s, err := g.of(f.Type, in)
		if err != nil {
			return err
		}
		properties[name] = s
		if !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
