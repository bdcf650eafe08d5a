package objectstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// tap passes connections on to a server and keeps what goes over them, byte by
// byte: an HTTP library would put the names of headers into a form of its own.
type tap struct {
	address string // to connect to

	mu       sync.Mutex
	sent     bytes.Buffer
	received bytes.Buffer
}

func newTap(t *testing.T, server string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{address: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.pass(ctx, client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		wg.Wait()
	})
	return p
}

// pass joins client to the server until either of them closes or ctx ends.
func (p *tap) pass(ctx context.Context, client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), upstream.Close() })()
	var wg sync.WaitGroup
	for _, way := range []struct {
		from, to net.Conn
		keep     io.Writer
	}{{client, upstream, keep{p, &p.sent}}, {upstream, client, keep{p, &p.received}}} {
		wg.Go(func() {
			defer cancel()
			_, _ = io.Copy(io.MultiWriter(way.keep, way.to), way.from)
		})
	}
	wg.Wait()
}

type keep struct {
	tap *tap
	to  *bytes.Buffer
}

func (k keep) Write(b []byte) (int, error) {
	k.tap.mu.Lock()
	defer k.tap.mu.Unlock()
	return k.to.Write(b)
}

// take returns what went over the wire since the last call.
func (p *tap) take() (sent, received string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, received = p.sent.String(), p.received.String()
	p.sent.Reset()
	p.received.Reset()
	return sent, received
}

// message is one HTTP message as it was on the wire.
type message struct {
	first   string
	headers map[string]string // by the names as sent
	body    string
}

func parseMessage(t *testing.T, raw string) message {
	t.Helper()
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		t.Fatalf("not an HTTP message: %.200q", raw)
	}
	lines := strings.Split(head, "\r\n")
	m := message{first: lines[0], headers: map[string]string{}, body: body}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		m.headers[name] = value
	}
	return m
}

// TestWire checks what a created object looks like on its way: what servers
// store, and what other readers compare, follows from it.
func TestWire(t *testing.T) {
	onEachServer(t, func(t *testing.T, cfg objectstore.Config) {
		address, plain := strings.CutPrefix(cfg.Endpoint, "http://")
		if !plain {
			t.Skip("only plain HTTP can be read on the wire; the requests are the same")
		}
		wire := newTap(t, address)
		cfg.Endpoint = "http://" + wire.address
		s := open(t, cfg)
		if err := s.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
		wire.take()

		body := []byte(strings.Repeat("not text\x1f\x8b\r\n", 20<<10))
		sum := sha256.Sum256(body)
		key := "AWSLogs/123456789012/CloudTrail-Digest/digest.json.gz"
		err := s.Create(t.Context(), key, bytes.NewReader(body), int64(len(body)), objectstore.PutOptions{
			ContentType: "application/x-gzip", SHA256: sum,
			Metadata: map[string]string{"signature": "00ff", "signature-algorithm": "SHA256withRSA"},
		})
		if err != nil {
			t.Fatal(err)
		}
		sent, received := wire.take()
		request := parseMessage(t, sent)
		if want := "PUT /" + bucketOf(t, request.first) + "/" + key + " HTTP/1.1"; request.first != want {
			t.Errorf("want one request, in path style, %q; got %q", want, request.first)
		}
		if request.body != string(body) {
			t.Errorf("want the %d bytes of the body and nothing else, got %d bytes beginning with %.40q", len(body), len(request.body), request.body)
		}
		for name, want := range map[string]string{
			"If-None-Match":                  "*",
			"Content-Type":                   "application/x-gzip",
			"Content-Length":                 strconv.Itoa(len(body)),
			"X-Amz-Checksum-Sha256":          base64.StdEncoding.EncodeToString(sum[:]),
			"X-Amz-Content-Sha256":           hex.EncodeToString(sum[:]),
			"x-amz-meta-signature":           "00ff",
			"x-amz-meta-signature-algorithm": "SHA256withRSA",
		} {
			if got := request.headers[name]; got != want {
				t.Errorf("%s: want %q, got %q", name, want, got)
			}
		}
		signed := strings.Split(between(request.headers["Authorization"], "SignedHeaders=", ","), ";")
		for _, name := range []string{"x-amz-checksum-sha256", "x-amz-content-sha256", "x-amz-meta-signature", "if-none-match"} {
			if !slices.Contains(signed, name) {
				t.Errorf("%s is not signed, only %q", name, signed)
			}
		}
		for name := range request.headers {
			switch strings.ToLower(name) {
			case "content-encoding", "transfer-encoding", "trailer", "x-amz-trailer", "x-amz-decoded-content-length", "cookie", "accept-encoding":
				t.Errorf("the header %s should not be sent", name)
			}
		}
		if head, _, _ := strings.Cut(sent, "\r\n\r\n"); strings.Contains(head, "aws-chunked") || strings.Contains(head, "STREAMING") {
			t.Errorf("the body should not be signed in chunks:\n%s", head)
		}
		if answer := parseMessage(t, received); answer.first != "HTTP/1.1 200 OK" {
			t.Errorf("got %q", answer.first)
		}

		if _, err := s.Head(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		_, received = wire.take()
		answer := parseMessage(t, received)
		for name, want := range map[string]string{"x-amz-meta-signature": "00ff", "x-amz-meta-signature-algorithm": "SHA256withRSA"} {
			if got := answer.headers[name]; got != want {
				t.Errorf("answer, %s: want %q under this very name, got %q of %q", name, want, got, answer.headers)
			}
		}
		wantStored(t, cfg, bucketOf(t, request.first), key, body)
	})
}

func bucketOf(t *testing.T, first string) string {
	t.Helper()
	path := strings.Split(first, "/")
	if len(path) < 3 {
		t.Fatalf("no bucket in %q", first)
	}
	return path[1]
}

func between(s, begin, end string) string {
	_, s, _ = strings.Cut(s, begin)
	s, _, _ = strings.Cut(s, end)
	return s
}

// wantStored reads the object with AWS's own client.
func wantStored(t *testing.T, cfg objectstore.Config, bucket, key string, body []byte) {
	t.Helper()
	client := s3.New(s3.Options{
		BaseEndpoint: &cfg.Endpoint, Region: cfg.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
	})
	o, err := client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	stored, err := io.ReadAll(o.Body) // which checks the checksum
	if err != nil || !bytes.Equal(stored, body) {
		t.Errorf("want the body, got %d bytes, %v", len(stored), err)
	}
	sum := sha256.Sum256(body)
	if got, want := aws.ToString(o.ChecksumSHA256), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		t.Errorf("stored checksum: want %q, got %q", want, got)
	}
	if o.ContentEncoding != nil || aws.ToString(o.ContentType) != "application/x-gzip" {
		t.Errorf("want no encoding and the content type, got %q and %q", aws.ToString(o.ContentEncoding), aws.ToString(o.ContentType))
	}
	if o.Metadata["signature"] != "00ff" || o.Metadata["signature-algorithm"] != "SHA256withRSA" {
		t.Errorf("metadata: got %v", o.Metadata)
	}
}
