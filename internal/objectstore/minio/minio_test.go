package minio_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func config(server *httptest.Server) objectstore.Config {
	return objectstore.Config{
		Endpoint: server.URL, Bucket: "bucket", AccessKey: "access-key", SecretKey: "secret-key", AllowPrivate: true,
	}
}

func open(t *testing.T, server *httptest.Server, change func(*objectstore.Config)) objectstore.Store {
	t.Helper()
	cfg := config(server)
	if change != nil {
		change(&cfg)
	}
	s, err := minio.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s objectstore.Store, key, body string) error {
	t.Helper()
	return s.Create(t.Context(), key, strings.NewReader(body), int64(len(body)),
		objectstore.PutOptions{ContentType: "application/json", SHA256: sha256.Sum256([]byte(body))})
}

func TestNewRefuses(t *testing.T) {
	good := objectstore.Config{Endpoint: "https://s3.example.com", Bucket: "bucket", AccessKey: "a", SecretKey: "s"}
	for name, change := range map[string]func(*objectstore.Config){
		"no scheme":            func(c *objectstore.Config) { c.Endpoint = "s3.example.com" },
		"another scheme":       func(c *objectstore.Config) { c.Endpoint = "ftp://s3.example.com" },
		"no host":              func(c *objectstore.Config) { c.Endpoint = "https://:9000" },
		"credentials in it":    func(c *objectstore.Config) { c.Endpoint = "https://a:quoted@s3.example.com" },
		"a path":               func(c *objectstore.Config) { c.Endpoint = "https://s3.example.com/quoted" },
		"a query":              func(c *objectstore.Config) { c.Endpoint = "https://s3.example.com?quoted" },
		"not a URL":            func(c *objectstore.Config) { c.Endpoint = "https://s3 quoted.example.com\n" },
		"a bad host":           func(c *objectstore.Config) { c.Endpoint = "https://-quoted-" },
		"no bucket":            func(c *objectstore.Config) { c.Bucket = "" },
		"a bad bucket":         func(c *objectstore.Config) { c.Bucket = "../quoted" },
		"no access key":        func(c *objectstore.Config) { c.AccessKey = "" },
		"no secret key":        func(c *objectstore.Config) { c.SecretKey = "" },
		"a CA without content": func(c *objectstore.Config) { c.CA = []byte("quoted") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			s, err := minio.New(cfg)
			if err == nil || s != nil {
				t.Fatalf("want an error, got %v, %v", s, err)
			}
			if strings.Contains(err.Error(), "quoted") {
				t.Errorf("the error quotes the configuration: %q", err)
			}
		})
	}
	if _, err := minio.New(good); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	if _, err := minio.New(objectstore.Config{Region: "eu-west-1", Bucket: "bucket", AccessKey: "a", SecretKey: "s"}); err != nil {
		t.Errorf("AWS: %v", err)
	}
}

// TestPutIsConfirmed: nothing counts as stored without the server's word.
func TestPutIsConfirmed(t *testing.T) {
	sum := sha256.Sum256([]byte("body"))
	for name, tc := range map[string]struct {
		etag, checksum string
		stored         bool
		want           error // nil: one that callers do not tell apart
	}{
		"confirmed":           {`"841a2d689ad86bd1611447453c22c6fc"`, "", true, nil},
		"with the checksum":   {`"e"`, base64.StdEncoding.EncodeToString(sum[:]), true, nil},
		"no ETag":             {"", "", false, nil},
		"another checksum":    {`"e"`, base64.StdEncoding.EncodeToString(make([]byte, 32)), false, objectstore.ErrBadDigest},
		"a checksum of parts": {`"e"`, "xyz-2", false, objectstore.ErrBadDigest},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if tc.etag != "" {
					w.Header().Set("ETag", tc.etag)
				}
				if tc.checksum != "" {
					w.Header().Set("x-amz-checksum-sha256", tc.checksum)
				}
			}), nil)
			err := put(t, s, "key", "body")
			if (err == nil) != tc.stored || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("stored: want %v, %v; got %v", tc.stored, tc.want, err)
			}
		})
	}
}

// TestRedirectsAreNotFollowed: a redirect would carry a signed request, or the
// receiver itself, to an address that nobody configured.
func TestRedirectsAreNotFollowed(t *testing.T) {
	visited := false
	other := serve(t, func(http.ResponseWriter, *http.Request) { visited = true })
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/bucket/key", status)
		}), nil)
		if err := put(t, s, "key", "body"); err == nil {
			t.Errorf("%d: want an error from Create", status)
		}
		if _, _, err := s.Get(t.Context(), "key"); err == nil {
			t.Errorf("%d: want an error from Get", status)
		}
		if err := s.CheckBucket(t.Context(), ""); err == nil {
			t.Errorf("%d: want an error from CheckBucket", status)
		}
	}
	if visited {
		t.Error("a redirect was followed")
	}
}

func TestNoRetries(t *testing.T) {
	requests := 0
	s := open(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusServiceUnavailable)
	}), nil)
	if err := put(t, s, "key", "body"); !errors.Is(err, objectstore.ErrThrottled) {
		t.Errorf("got %v", err)
	}
	if requests != 1 {
		t.Errorf("want one request, and none for the region; got %d", requests)
	}
}

func TestServerTime(t *testing.T) {
	s := open(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
	}), nil)
	if err := put(t, s, "key", "body"); err == nil {
		t.Fatal("want an error")
	}
	if offset, ok := s.ServerTime(); !ok || (offset-time.Hour).Abs() > 5*time.Second {
		t.Errorf("want an hour, also from an answer that is an error; got %v, %v", offset, ok)
	}
}

func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	plain := serve(t, answer(404, ""))
	secured := httptest.NewTLSServer(answer(404, ""))
	t.Cleanup(secured.Close)
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.Close()
	})
	garbage := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		fmt.Fprint(conn, "220 "+secret+" ESMTP\r\n")
		_ = conn.Close()
	})
	for name, tc := range map[string]struct {
		server *httptest.Server
		change func(*objectstore.Config)
		want   error
	}{
		"refused":           {closed, nil, objectstore.ErrUnreachable},
		"no such host":      {plain, func(c *objectstore.Config) { c.Endpoint = "http://host.invalid" }, objectstore.ErrUnreachable},
		"connection cut":    {cut, nil, objectstore.ErrUnreachable},
		"not HTTP":          {garbage, nil, objectstore.ErrUnreachable},
		"no TLS":            {plain, func(c *objectstore.Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }, objectstore.ErrUnreachable},
		"unknown authority": {secured, nil, objectstore.ErrCertificate},
		"certificate of other": {secured, func(c *objectstore.Config) {
			c.CA = caOf(secured)
			c.Endpoint = strings.Replace(c.Endpoint, "127.0.0.1", "localhost", 1)
		}, objectstore.ErrCertificate},
		"trusted":   {secured, func(c *objectstore.Config) { c.CA = caOf(secured) }, objectstore.ErrNotExist},
		"forbidden": {plain, func(c *objectstore.Config) { c.AllowPrivate = false }, objectstore.ErrForbiddenAddress},
		"forbidden name": {plain, func(c *objectstore.Config) {
			c.AllowPrivate = false
			c.Endpoint = strings.Replace(c.Endpoint, "127.0.0.1", "localhost", 1)
		}, objectstore.ErrForbiddenAddress},
		"denied": {plain, func(c *objectstore.Config) { c.DenyHosts = []string{strings.TrimPrefix(plain.URL, "http://")} }, objectstore.ErrForbiddenAddress},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, tc.server, tc.change)
			_, _, err := s.Get(t.Context(), "key")
			if !errors.Is(err, tc.want) {
				t.Errorf("want %q, got %q", tc.want, err)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the error quotes the server: %q", err)
			}
		})
	}
}

func caOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// TestDeadline: a server that does not answer holds the caller no longer than
// the caller's context says.
func TestDeadline(t *testing.T) {
	release := make(chan struct{})
	server := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := open(t, server, nil).Head(ctx, "key")
	if !errors.Is(err, objectstore.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestGetIsCut(t *testing.T) {
	s := open(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		fmt.Fprint(w, "half")
	}), nil)
	r, _, err := s.Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// TestBodyAfterAnEarlyAnswer: a server may answer before it has read the body.
// The body is the caller's again as soon as Create returns; the race detector
// sees it if the transport still reads.
func TestBodyAfterAnEarlyAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = bufio.NewReader(conn).ReadString('\n')
		fmt.Fprint(conn, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()
	s, err := minio.New(objectstore.Config{
		Endpoint: "http://" + l.Addr().String(), Bucket: "bucket", AccessKey: "a", SecretKey: "s", AllowPrivate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	body := &counting{size: 64 << 20}
	err = s.Create(t.Context(), "key", body, body.size, objectstore.PutOptions{})
	body.at = 0
	if !errors.Is(err, objectstore.ErrAccessDenied) {
		t.Errorf("got %v", err)
	}
	_ = l.Close()
	<-done
}

// counting is a large body of zeros that is not safe for concurrent use.
type counting struct{ at, size int64 }

func (c *counting) Read(p []byte) (int, error) {
	n := min(int64(len(p)), c.size-c.at)
	if n == 0 {
		return 0, io.EOF
	}
	c.at += n
	return int(n), nil
}

func (c *counting) Seek(offset int64, whence int) (int64, error) {
	c.at = offset
	if whence == io.SeekEnd {
		c.at += c.size
	}
	return c.at, nil
}
