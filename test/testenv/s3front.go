package testenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// S3Fault is something that an S3 server, or the network in front of it, may do
// to a request.
type S3Fault string

// The faults. Unless they say otherwise, the server behind does not see the request.
const (
	S3Error          S3Fault = "500"
	S3SlowDown       S3Fault = "503"
	S3SlowDownAfter  S3Fault = "503 with Retry-After"
	S3TooMany        S3Fault = "429"
	S3LostRace       S3Fault = "409" // of a create that met another one
	S3Precondition   S3Fault = "412" // whether there is an object or not
	S3Denied         S3Fault = "403"
	S3Silent         S3Fault = "silence"            // for PatienceOfSilence, then the connection is cut
	S3SlowRead       S3Fault = "slow read"          // of the request; then it is served
	S3SlowWrite      S3Fault = "slow write"         // of the answer
	S3CutBody        S3Fault = "body cut"           // half of the request is read
	S3LostAnswer     S3Fault = "answer lost"        // the request is served, the connection cut
	S3CutAnswer      S3Fault = "answer cut"         // the request is served, half of the answer sent
	S3NoETag         S3Fault = "no ETag"            // in the answer of a request that is served
	S3WrongETag      S3Fault = "wrong ETag"         // the same
	S3WrongChecksum  S3Fault = "wrong checksum"     // the same
	S3Truncated      S3Fault = "half of the object" // half of the object is stored, and the answer is 200
	S3Dropped        S3Fault = "object dropped"     // nothing is stored, and the answer is 200
	S3Moved          S3Fault = "302"                // to a page that answers everything with 200
	S3MovedTemporary S3Fault = "307"                // the same
	S3Page           S3Fault = "login page"         // in place of the answer, with 200
	S3GarbageXML     S3Fault = "garbage XML"        // as the body of an error
	S3HugeError      S3Fault = "huge error"         // an error with a body of 64 MiB
	S3HugeHeader     S3Fault = "huge header"        // an answer with a header of 1 MiB
	S3SkewedClock    S3Fault = "clock skew"         // a Date that is an hour off, in the answer of a request that is served
)

// S3Front stands between clients and an S3 server, and does to each request
// what Choose says.
type S3Front struct {
	// Endpoint is its URL.
	Endpoint string
	// Choose returns what happens to a request; the empty fault serves it. It is
	// called by many requests at once.
	Choose func(*http.Request) S3Fault
	// PatienceOfSilence bounds S3Silent and what is slow.
	PatienceOfSilence time.Duration

	behind *S3Server
	front  *httptest.Server
	client *http.Client
	down   atomic.Bool
	ended  chan struct{}
	end    func()

	mu     sync.Mutex
	done   map[S3Fault]int
	halved []string
	cert   *tls.Certificate
}

// NewS3Front starts a front of s; with a certificate it speaks TLS.
func NewS3Front(s *S3Server, cert *tls.Certificate, choose func(*http.Request) S3Fault) *S3Front {
	f := &S3Front{
		Choose: choose, PatienceOfSilence: 2 * time.Second, behind: s, cert: cert,
		done: map[S3Fault]int{}, ended: make(chan struct{}),
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	f.end = sync.OnceFunc(func() { close(f.ended) })
	f.front = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.front.Config.ErrorLog = log.New(io.Discard, "", 0) // it aborts on purpose
	if cert == nil {
		f.front.Start()
	} else {
		f.front.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*f.cert}}, nil
		}}
		f.front.StartTLS()
	}
	f.Endpoint = f.front.URL
	return f
}

// SetCertificate changes the certificate and ends all connections.
func (f *S3Front) SetCertificate(cert *tls.Certificate) {
	f.mu.Lock()
	f.cert = cert
	f.mu.Unlock()
	f.front.CloseClientConnections()
}

// SetDown makes the front cut every connection, or serve again.
func (f *S3Front) SetDown(down bool) { f.down.Store(down) }

// Close ends the front.
func (f *S3Front) Close() {
	f.end()
	f.front.CloseClientConnections()
	f.front.Close()
	f.client.CloseIdleConnections()
}

// Done counts the faults that there have been.
func (f *S3Front) Done() map[S3Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.done)
}

// Halved are the paths, /<bucket>/<key>, of the objects of which half was stored.
func (f *S3Front) Halved() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.halved)
}

const maxFrontBody = 128 << 20

func (f *S3Front) serve(w http.ResponseWriter, r *http.Request) {
	if f.down.Load() {
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path == pagePath {
		page(w)
		return
	}
	fault := f.Choose(r)
	if fault != "" {
		f.mu.Lock()
		f.done[fault]++
		f.mu.Unlock()
	}
	if f.refuse(w, r, fault) {
		return
	}
	body, err := f.read(r, fault)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.Method == http.MethodPut {
		switch fault {
		case S3Truncated:
			f.half(w, r, body)
			return
		case S3Dropped:
			w.Header().Set("ETag", `"00000000000000000000000000000000"`)
			return
		}
	}
	answer, status, header, err := f.forward(r, body)
	if err != nil || fault == S3LostAnswer {
		panic(http.ErrAbortHandler)
	}
	f.answer(w, fault, answer, status, header)
}

// refuse answers a request that the server does not see. It reports whether it has.
func (f *S3Front) refuse(w http.ResponseWriter, r *http.Request, fault S3Fault) bool {
	switch fault {
	case S3Error:
		fail(w, 500, "InternalError")
	case S3SlowDown:
		fail(w, 503, "SlowDown")
	case S3SlowDownAfter:
		w.Header().Set("Retry-After", "1")
		fail(w, 503, "SlowDown")
	case S3TooMany:
		fail(w, 429, "TooManyRequests")
	case S3LostRace:
		fail(w, 409, "ConditionalRequestConflict")
	case S3Precondition:
		fail(w, 412, "PreconditionFailed")
	case S3Denied:
		fail(w, 403, "AccessDenied")
	case S3Silent:
		f.wait(r.Context(), f.PatienceOfSilence)
		panic(http.ErrAbortHandler)
	case S3CutBody:
		_, _ = io.CopyN(io.Discard, r.Body, max(r.ContentLength/2, 0))
		panic(http.ErrAbortHandler)
	case S3Moved, S3MovedTemporary:
		status, _ := strconv.Atoi(string(fault))
		w.Header().Set("Location", f.Endpoint+pagePath)
		w.WriteHeader(status)
	case S3Page:
		page(w)
	case S3GarbageXML:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(500)
		_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+strings.Repeat("<x>\xff", 1<<10))
	case S3HugeError:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "<Error><Message>")
		chunk := bytes.Repeat([]byte("a"), 1<<20)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				break
			}
		}
	case S3HugeHeader:
		w.Header().Set("X-Amz-Request-Id", strings.Repeat("a", 1<<20))
	default:
		return false
	}
	return true
}

// read reads the body of a request, slowly if asked to.
func (f *S3Front) read(r *http.Request, fault S3Fault) ([]byte, error) {
	body := io.LimitReader(r.Body, maxFrontBody)
	if fault != S3SlowRead {
		return io.ReadAll(body)
	}
	var all bytes.Buffer
	const pieces = 10
	for range pieces {
		if _, err := io.CopyN(&all, body, r.ContentLength/pieces); err != nil {
			break
		}
		f.wait(r.Context(), f.PatienceOfSilence/pieces)
	}
	_, err := all.ReadFrom(body)
	return all.Bytes(), err
}

func (f *S3Front) wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	case <-f.ended:
	}
}

// forward has the server serve a request as it was signed.
func (f *S3Front) forward(r *http.Request, body []byte) (answer []byte, status int, header http.Header, err error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, f.behind.Endpoint+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, nil, err
	}
	req.Header, req.Host = r.Header.Clone(), r.Host
	return f.do(req)
}

func (f *S3Front) do(req *http.Request) (answer []byte, status int, header http.Header, err error) {
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxFrontBody))
	return answer, resp.StatusCode, resp.Header, err
}

// half stores the first half of an object.
func (f *S3Front) half(w http.ResponseWriter, r *http.Request, body []byte) {
	body = body[:len(body)/2]
	req, err := http.NewRequestWithContext(r.Context(), r.Method, f.behind.Endpoint+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range r.Header {
		if lower := strings.ToLower(k); lower == "content-type" || lower == "if-none-match" || strings.HasPrefix(lower, "x-amz-meta-") {
			req.Header[k] = v
		}
	}
	sum := sha256.Sum256(body)
	hexSum := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hexSum)
	owner := aws.Credentials{AccessKeyID: f.behind.AccessKey, SecretAccessKey: f.behind.SecretKey}
	if err := v4.NewSigner().SignHTTP(r.Context(), owner, req, hexSum, "s3", f.behind.Region, time.Now()); err != nil {
		panic(http.ErrAbortHandler)
	}
	answer, status, header, err := f.do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if status == http.StatusOK {
		f.mu.Lock()
		f.halved = append(f.halved, r.URL.Path)
		f.mu.Unlock()
	}
	f.answer(w, "", answer, status, header)
}

func (f *S3Front) answer(w http.ResponseWriter, fault S3Fault, answer []byte, status int, header http.Header) {
	h := w.Header()
	maps.Copy(h, header)
	switch fault {
	case S3NoETag:
		h.Del("ETag")
	case S3WrongETag:
		h.Set("ETag", `"11111111111111111111111111111111"`)
	case S3WrongChecksum:
		h.Set("X-Amz-Checksum-Sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	case S3SkewedClock:
		h.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	case S3CutAnswer:
		if len(answer) == 0 {
			panic(http.ErrAbortHandler)
		}
		h.Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		_, _ = w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	if fault != S3SlowWrite {
		_, _ = w.Write(answer)
		return
	}
	const pieces = 10
	for i := range pieces {
		_, _ = w.Write(answer[len(answer)*i/pieces : len(answer)*(i+1)/pieces])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(f.PatienceOfSilence / pieces):
		case <-f.ended:
		}
	}
}

// pagePath is where redirects lead.
const pagePath = "/login.html"

// page is what stands between the user and the network in a hotel.
func page(w http.ResponseWriter) {
	w.Header().Set("ETag", `"login"`)
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html><body>Please log in.</body></html>")
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>on purpose</Message></Error>`, code)
}
