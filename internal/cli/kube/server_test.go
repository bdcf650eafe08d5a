package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/trail-operator/trail-operator/internal/pki"
)

// serve returns the Server that a kubeconfig leads to: behind a path, with a token.
func serve(t *testing.T, handler http.HandlerFunc) Server {
	t.Helper()
	s := httptest.NewTLSServer(handler) // or no token would be sent
	t.Cleanup(s.Close)
	c, err := chooses(t, s.URL+"/clusters/c/", s.Certificate()).Server()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func chooses(t *testing.T, address string, trusted *x509.Certificate) Cluster {
	t.Helper()
	ca := ""
	if trusted != nil {
		ca = ", certificate-authority-data: " + base64.StdEncoding.EncodeToString(pki.Bundle(trusted))
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q%s}}]
users: [{name: u, user: {token: secret-token}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
current-context: here
`, address, ca)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig = &path
	return New(flags, &bytes.Buffer{})
}

// Every answer is one, with its status, the server's clock and the start of
// its body; redirects are not followed.
func TestServerAnswers(t *testing.T) {
	date := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	followed := false
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer secret-token" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
		w.Header().Set("Date", date.Format(http.TimeFormat))
		switch r.URL.Path {
		case "/clusters/c/version":
			_, _ = w.Write([]byte("{}"))
		case "/clusters/c/undated":
			w.Header().Set("Date", "yesterday")
		case "/clusters/c/no":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("no"))
		case "/clusters/c/large":
			_, _ = w.Write(bytes.Repeat([]byte("a"), maxAnswer+1000))
		case "/clusters/c/moved":
			http.Redirect(w, r, "/clusters/c/there", http.StatusFound)
		case "/clusters/c/there":
			followed = true
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	})
	for path, want := range map[string]struct {
		status, size int
		date         time.Time
	}{
		"/version": {200, 2, date}, "/undated": {200, 0, time.Time{}}, "/no": {403, 2, date}, "/large": {200, maxAnswer, date}, "/moved": {302, -1, date},
	} {
		got, err := s.Get(t.Context(), path)
		if err != nil || got.Status != want.status || want.size >= 0 && len(got.Body) != want.size || !got.Date.Equal(want.date) {
			t.Errorf("%s: %d, %d bytes, %v, %v", path, got.Status, len(got.Body), got.Date, err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestServerDoesNotAnswer(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/breaks") {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
			return
		}
		<-release
	})
	defer close(release)
	ended, end := context.WithCancel(t.Context())
	end()
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for _, tc := range []struct {
		ctx        context.Context
		path, want string
	}{
		{ended, "/hangs", "interrupted"},
		{late, "/hangs", "the API server did not answer in time; try again"},
		{t.Context(), "/breaks", "the answer of the API server broke off: unexpected EOF"},
	} {
		if _, err := s.Get(tc.ctx, tc.path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.path, err, tc.want)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	away, err := chooses(t, gone.URL, nil).Server()
	if err != nil {
		t.Fatal(err)
	}
	_, err = away.Get(t.Context(), "/version")
	if host := strings.TrimPrefix(gone.URL, "http://"); err == nil ||
		!strings.HasPrefix(err.Error(), "the API server "+host+" cannot be reached: ") || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("got %v", err)
	}
}

func TestServerNeedsAConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent")
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig = &path
	if _, err := New(flags, &bytes.Buffer{}).Server(); err == nil || !strings.Contains(err.Error(), "kubeconfig") {
		t.Errorf("got %v", err)
	}
	if _, err := chooses(t, "https://a:b:c", nil).Server(); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
