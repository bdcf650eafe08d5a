// Package fuzzing is what the fuzz targets of the control plane share: values
// of any type made of random bytes, and what an API server takes of them.
package fuzzing

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

// nasty are strings that have broken programs before.
var nasty = []string{
	"", " ", "a", "A", "-", ".", "..", "../x", "/", "%", "%s%d%!", "a--b", "\x00", "\xff\xfe", "é", "日本語", "\u2028", "a\nb", `"`, `\`, "{}", "null", "0", "-1",
	"true", "*", "http://", "https://[::1]:443", "https://s3.example.com", "s3.example.com:9000", "arn:aws:kms:eu-1:000000000042:key/x",
	"9999-12-31T23:59:59-12:00", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	strings.Repeat("x", 64), strings.Repeat("é", 700), strings.Repeat("y", 2100), strings.Repeat("日", 12_000),
}

var instants = []time.Time{
	{}, time.Unix(0, 0), time.Date(2026, 11, 21, 10, 20, 0, 123_456_789, time.UTC), time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
	time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600)), time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 12*3600)),
	time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
}

// String draws a string: often one of words, else anything.
func String(t *rapid.T, words ...string) string {
	switch rapid.IntRange(0, 9).Draw(t, "kind of string") {
	case 0:
		return rapid.String().Draw(t, "string")
	case 1, 2, 3:
		return rapid.SampledFrom(nasty).Draw(t, "nasty")
	}
	return rapid.SampledFrom(append(words, "")).Draw(t, "word")
}

// maxDepth bounds values that may hold themselves.
const maxDepth = 12

// Fill gives random values to all that into points to. Strings are often among
// words, which are those of the field's language.
func Fill(t *rapid.T, into any, words ...string) { fill(t, reflect.ValueOf(into).Elem(), words, 0) }

func fill(t *rapid.T, v reflect.Value, words []string, depth int) {
	if depth > maxDepth || !v.CanSet() {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(rapid.SampledFrom(instants).Draw(t, "time")))
		return
	case metav1.Time:
		v.Set(reflect.ValueOf(metav1.Time{Time: rapid.SampledFrom(instants).Draw(t, "time")}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(String(t, words...))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := rapid.SampledFrom([]int64{0, 1, -1, 2, 7, 30, 365, 100_000, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}).Draw(t, "int")
		if !v.OverflowInt(n) {
			v.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := rapid.SampledFrom([]uint64{0, 1, 42, math.MaxUint16, math.MaxUint64}).Draw(t, "uint")
		if !v.OverflowUint(n) {
			v.SetUint(n)
		}
	case reflect.Float32, reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, 1.5, -1, math.Inf(1)}).Draw(t, "float"))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "set") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), words, depth+1)
		}
	case reflect.Slice:
		n := rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3}).Draw(t, "length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i), words, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "length") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, words, depth+1)
			fill(t, value, words, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), words, depth+1)
		}
	}
}

// Run makes a fuzz target of a property. Without -fuzz it runs with seeds of its
// own, n of them.
func Run(f *testing.F, n int, property func(*rapid.T)) {
	f.Helper()
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 7)) //nolint:gosec // the same seeds each time
		seed := make([]byte, 16<<10)
		for j := range seed {
			seed[j] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(rapid.MakeFuzz(property))
}
