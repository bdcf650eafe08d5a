package minio_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

func page(next string, keys ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<ListBucketResult><IsTruncated>%t</IsTruncated><NextContinuationToken>%s</NextContinuationToken>`, next != "", next)
	for _, key := range keys {
		fmt.Fprintf(&b, `<Contents><Key>%s</Key><Size>1</Size></Contents>`, key)
	}
	return b.String() + `</ListBucketResult>`
}

// TestHostileLists: a listing ends in an error when the server does not keep to
// the rules, and takes no memory that the server chooses.
func TestHostileLists(t *testing.T) {
	repeat := func(head, element string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, head)
			chunk := strings.Repeat(element, 1+(1<<20)/len(element))
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		}
	}
	pages := func(pages ...string) http.HandlerFunc {
		n := 0
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, pages[min(n, len(pages)-1)])
			n++
		}
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    []string
	}{
		"out of order":          {pages(page("", "p/a", "p/c", "p/b")), []string{"p/a", "p/c"}},
		"twice the same":        {pages(page("", "p/a", "p/a")), []string{"p/a"}},
		"outside of the prefix": {pages(page("", "p/a", "q/b")), []string{"p/a"}},
		"not after the start":   {pages(page("", "p/0")), nil},
		"same page for ever":    {pages(page("token", "p/a", "p/b")), []string{"p/a", "p/b"}},
		"order across pages":    {pages(page("token", "p/b"), page("", "p/a")), []string{"p/b"}},
		"no token":              {pages(strings.Replace(page("x", "p/a"), "<NextContinuationToken>x</NextContinuationToken>", "", 1)), nil},
		"key not decodable":     {pages(strings.Replace(page("", "p/a", "p/%zz"), "<IsTr", "<EncodingType>url</EncodingType><IsTr", 1)), nil},
		"not XML":               {pages("<html><body>" + secret), nil},
		"endless elements":      {repeat("<ListBucketResult>", "<Contents/>"), nil},
		"endless text":          {repeat("<ListBucketResult><Name>", "a"), nil},
		"endless depth":         {repeat("<ListBucketResult>", "<a>"), nil},
		"endless error": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			repeat("<Error><Message>", "a")(w, r)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, serve(t, tc.handler), nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var got []string
			var last error
			for info, err := range s.List(t.Context(), "p/", "p/0") {
				if last = err; err == nil {
					got = append(got, info.Key)
				}
			}
			runtime.ReadMemStats(&after)
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
			var e *objectstore.Error
			if !errors.As(last, &e) || strings.Contains(e.Error(), secret) {
				t.Errorf("want an *objectstore.Error of our own words, got %v", last)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 128<<20 {
				t.Errorf("%d MiB were allocated", allocated>>20)
			}
		})
	}
}
