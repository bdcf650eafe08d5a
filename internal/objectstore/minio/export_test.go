package minio

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// AmbientOver returns the credentials of the environment, fetched over transport.
func AmbientOver(transport http.RoundTripper) (credentials.Value, error) {
	return credentials.New(ambientOver(transport)).GetWithContext(nil)
}

// Address returns where a request about the bucket as a whole goes.
func Address(t *testing.T, s objectstore.Managed) string {
	t.Helper()
	req, err := s.(*store).request(t.Context(), http.MethodGet, policy.resource, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req.URL.String()
}

// Reencode reads and writes a document.
func Reencode(document []byte) ([]byte, bool) {
	e, err := parseElement(document)
	if err != nil {
		return nil, false
	}
	var b bytes.Buffer
	e.append(&b, "")
	return b.Bytes(), true
}
