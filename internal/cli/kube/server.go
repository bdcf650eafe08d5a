package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// Server answers requests for what is no object: discovery, and proxies.
type Server interface {
	// Get asks for a path. Every answer of the API server is one, whatever its
	// status; the error says that there was none.
	Get(ctx context.Context, path string) (Answer, error)
}

// Answer of the API server.
type Answer struct {
	Status int
	// Date is the clock of the API server; zero when it does not say.
	Date time.Time
	// Body is at most 1 MiB.
	Body []byte
}

func (c *chosen) Server() (Server, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, explainConfig(err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, explainConfig(err)
	}
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, explainConfig(err)
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &server{base: base, http: h}, nil
}

type server struct {
	base *url.URL
	http *http.Client
}

func (s *server) Get(ctx context.Context, path string) (Answer, error) {
	u := *s.base
	u.Path = strings.TrimRight(s.base.Path, "/") + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return Answer{}, fmt.Errorf("asking the API server for %s: %w", path, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return Answer{}, explainUnanswered(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, explainUnanswered(err)
	}
	answer := Answer{Status: resp.StatusCode, Body: body}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		answer.Date = date
	}
	return answer, nil
}

func explainUnanswered(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the API server did not answer in time; try again, or with a longer --request-timeout")
	}
	if host, reason, ok := unreachable(err); ok {
		return fmt.Errorf("the API server %s cannot be reached: %s; check --kubeconfig and --context", host, oneLine(reason))
	}
	return fmt.Errorf("the answer of the API server broke off: %s", oneLine(err.Error()))
}
