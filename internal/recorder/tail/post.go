package tail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// Files of Options.ReceiverDir.
const (
	FileURL     = "url" // https://host:port
	FileAccount = "account"
	FileCA      = "ca.crt" // who issued the receiver's certificate; PEM
	FileToken   = "token"  // of the tail's service account, for the receiver
	FileSince   = "since"  // when tails were switched on; may be missing
)

const (
	maxAnswer = 4 << 10
	maxAfter  = time.Minute
	// postTimeout is what a POST may take besides the time for its bytes.
	postTimeout = time.Minute
)

// sender posts to the receiver. It reads its files for each POST: their content
// is replaced while it runs.
type sender struct {
	dir, apiServer string

	client *http.Client
	ca     []byte // that client trusts
}

// body is one that can be read several times.
type body struct {
	length int64
	held   bool // in memory
	open   func() (io.Reader, error)
}

// answer is what a POST brought: a status with what goes with it, or none. err
// says in words what is wrong unless the status is 200.
type answer struct {
	code  int
	mark  int64         // of a 409
	after time.Duration // Retry-After
	err   error
}

func (a answer) label() string {
	if a.code == 0 {
		return "none"
	}
	return strconv.Itoa(a.code)
}

func (s *sender) close() {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

func (s *sender) post(ctx context.Context, source string, sequence int64, b body) answer {
	target, token, err := s.prepare()
	if err != nil {
		return answer{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout+time.Duration(b.length>>20)*time.Second)
	defer cancel()
	content, err := b.open()
	if err != nil {
		return answer{err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, content)
	if err != nil {
		return answer{err: errors.New("the receiver's address is not one of https")}
	}
	r.ContentLength = b.length
	r.GetBody = func() (io.ReadCloser, error) {
		content, err := b.open()
		return io.NopCloser(content), err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set(receiverconfig.HeaderTailSource, source)
	r.Header.Set(receiverconfig.HeaderTailSequence, strconv.FormatInt(sequence, 10))
	resp, err := s.client.Do(r)
	if err != nil {
		return answer{err: fmt.Errorf("the receiver does not answer: %w", plain(err))}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // a body that is cut short says nothing
	return read(resp, text)
}

// plain leaves the address out of an error: the log shows it once.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func read(resp *http.Response, text []byte) answer {
	a := answer{code: resp.StatusCode, mark: -1}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		a.after = min(time.Duration(min(seconds, 3600))*time.Second, maxAfter)
	}
	switch a.code {
	case http.StatusOK:
	case http.StatusConflict:
		var known struct {
			Sequence *int64 `json:"sequence"`
		}
		if json.Unmarshal(text, &known) == nil && known.Sequence != nil {
			a.mark = *known.Sequence
		}
		a.err = errors.New("the receiver expects another sequence (409)")
	case http.StatusUnauthorized:
		a.err = errors.New("the receiver refuses the token (401): has it intake.tail.enabled, and does it know the keys of this cluster's service account tokens?")
	case http.StatusForbidden:
		a.err = errors.New("the receiver refuses the tail (403): its token must be that of the service account trail-tail on the node whose API server it names")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		a.err = fmt.Errorf("the receiver takes nothing at the moment (%d)", a.code)
	default:
		a.err = fmt.Errorf("the receiver answers with status %d", a.code)
	}
	return a
}

// prepare reads where to post, as whom, and whom to trust.
func (s *sender) prepare() (target, token string, err error) {
	var content [4][]byte
	for i, name := range []string{FileURL, FileAccount, FileCA, FileToken} {
		path := filepath.Join(s.dir, name)
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("%s is not there yet: the manager and the kubelet write it", path)
		}
		if err != nil {
			return "", "", err
		}
		content[i] = bytes.TrimSpace(b)
	}
	base, err := url.Parse(string(content[0]))
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return "", "", fmt.Errorf("%s must be https://host:port", filepath.Join(s.dir, FileURL))
	}
	if err := s.trust(content[2]); err != nil {
		return "", "", err
	}
	return base.JoinPath("v1/audit", string(content[1]), s.apiServer).String(), string(content[3]), nil
}

// trust makes a client for a CA, unless it is the last one.
func (s *sender) trust(ca []byte) error {
	if s.client != nil && bytes.Equal(ca, s.ca) {
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s holds no certificates in PEM", filepath.Join(s.dir, FileCA))
	}
	s.close()
	s.ca = bytes.Clone(ca)
	s.client = &http.Client{
		// Without a proxy: the receiver is in the cluster. One POST is under way at a
		// time: HTTP/1.1 does that with a quarter less CPU than HTTP/2, measured.
		Transport: &http.Transport{
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			WriteBufferSize:       128 << 10,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: postTimeout,
			IdleConnTimeout:       90 * time.Second,
			DisableCompression:    true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}
