// Package fuzzing is what the fuzz targets of the control plane share: values
// of any type made of random bytes, and what an API server takes of them.
package fuzzing

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Source makes choices: first those that its bytes say, so that a fuzzer can
// change one and keep the others, then those of a generator that they seed. So
// no input is too short.
type Source struct {
	data []byte
	more *rand.Rand
}

// NewSource returns a Source of choices that data decides alone.
func NewSource(data []byte) *Source {
	h := fnv.New64a()
	h.Write(data)
	return &Source{data, rand.New(rand.NewPCG(h.Sum64(), 7))}
}

// Int chooses a number below n, which is at most 256.
func (s *Source) Int(n int) int {
	if len(s.data) == 0 {
		return s.more.IntN(n)
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

// Bool chooses one or the other.
func (s *Source) Bool() bool { return s.Int(2) == 1 }

// OneIn is true once in n times.
func (s *Source) OneIn(n int) bool { return s.Int(n) == n-1 }

// Pick chooses one of list.
func Pick[T any](s *Source, list ...T) T { return list[s.Int(len(list))] }

// nasty are strings that have broken programs before.
var nasty = []string{
	"", " ", "a", "A", "-", ".", "..", "../x", "/", "%", "%s%d%!", "a--b", "\x00", "\xff\xfe", "é", "日本語", "\u2028", "a\nb", `"`, `\`, "{}", "null", "0", "-1",
	"true", "*", "http://", "https://[::1]:443", "https://s3.example.com", "s3.example.com:9000", "arn:aws:kms:eu-1:000000000042:key/x",
	"9999-12-31T23:59:59-12:00", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	strings.Repeat("x", 64), strings.Repeat("é", 700), strings.Repeat("y", 2100), strings.Repeat("日", 12_000),
}

var instants = []time.Time{
	{},
	time.Unix(0, 0), time.Date(2026, 11, 21, 10, 20, 0, 123_456_789, time.UTC), time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
	time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600)), time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 12*3600)),
	time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
}

// String chooses a string: often one of words, else anything.
func (s *Source) String(words ...string) string {
	switch s.Int(10) {
	case 0:
		b := make([]byte, s.Int(9))
		for i := range b {
			b[i] = byte(s.Int(256))
		}
		return string(b)
	case 1, 2:
		return Pick(s, nasty...)
	}
	return Pick(s, append(words, "")...)
}

// maxDepth bounds values that may hold themselves.
const maxDepth = 12

// Fill gives random values to all that into points to. Strings are often among
// words, which are those of the field's language.
func (s *Source) Fill(into any, words ...string) { s.fill(reflect.ValueOf(into).Elem(), words, 0) }

func (s *Source) fill(v reflect.Value, words []string, depth int) {
	if depth > maxDepth || !v.CanSet() {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(Pick(s, instants...)))
		return
	case metav1.Time:
		v.Set(reflect.ValueOf(metav1.Time{Time: Pick(s, instants...)}))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s.String(words...))
	case reflect.Bool:
		v.SetBool(s.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := Pick[int64](s, 0, 1, -1, 2, 7, 30, 365, 100_000, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64)
		if !v.OverflowInt(n) {
			v.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := Pick[uint64](s, 0, 1, 42, math.MaxUint16, math.MaxUint64)
		if !v.OverflowUint(n) {
			v.SetUint(n)
		}
	case reflect.Float32, reflect.Float64:
		v.SetFloat(Pick(s, 0, 1.5, -1, math.MaxFloat64))
	case reflect.Pointer:
		if s.Bool() {
			v.Set(reflect.New(v.Type().Elem()))
			s.fill(v.Elem(), words, depth+1)
		}
	case reflect.Slice:
		n := Pick(s, 0, 0, 1, 1, 2, 3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			s.fill(v.Index(i), words, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range Pick(s, 0, 1, 2) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			s.fill(key, words, depth+1)
			s.fill(value, words, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			s.fill(v.Field(i), words, depth+1)
		}
	}
}

// Run makes a fuzz target of a property. Without -fuzz it runs with n seeds.
func Run(f *testing.F, n int, property func(*testing.T, *Source)) {
	f.Helper()
	for i := range n {
		f.Add([]byte{byte(i >> 8), byte(i)})
	}
	f.Fuzz(func(t *testing.T, data []byte) { property(t, NewSource(data)) })
}
