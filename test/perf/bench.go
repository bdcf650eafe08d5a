package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const perPost = 400

type options struct {
	posts, parallel, runs, seconds, large, trails int
	receiver, manager                             string // paths
}

type bench struct {
	options
	dir string
	n   int
}

// result is one measurement.
type result struct {
	events int
	cpu    time.Duration
	wall   time.Duration
	peak   int64 // bytes resident, at most
	bucket int64 // bytes of log files
}

func (r result) micros() float64 { return r.cpu.Seconds() * 1e6 / float64(r.events) }

func (r result) perCPUSecond() float64 { return float64(r.events) / r.cpu.Seconds() }

// compare prints baseline and whole job side by side.
func (b *bench) compare(ctx context.Context, name string, body int) error {
	posts, size := b.lists(b.posts, body)
	fmt.Printf("\n%s events: %d POSTs of %d events, %d bytes an event\n", name, b.posts, perPost, size)
	fmt.Printf("%-12s %16s %14s %12s %14s %16s\n", "", "events/CPU-s", "µs CPU/event", "events/s", "peak RSS MiB", "bucket B/event")
	var base, whole []result
	for range b.runs {
		r, err := b.baseline(ctx, posts)
		if err != nil {
			return err
		}
		base = append(base, r)
		if r, err = b.whole(ctx, posts); err != nil {
			return err
		}
		whole = append(whole, r)
	}
	m, w := median(base), median(whole)
	for _, row := range []struct {
		name string
		r    result
	}{{"baseline B", m}, {"whole job", w}} {
		fmt.Printf("%-12s %16.0f %14.2f %12.0f %14.0f %16.0f\n", row.name, row.r.perCPUSecond(), row.r.micros(),
			float64(row.r.events)/row.r.wall.Seconds(), float64(row.r.peak)/(1<<20), float64(row.r.bucket)/float64(row.r.events))
	}
	fmt.Printf("whole job / B = %.2f (median of %d runs)\n", w.perCPUSecond()/m.perCPUSecond(), b.runs)
	return nil
}

// lists makes POSTs, and says how many bytes an event has.
func (b *bench) lists(n, body int) (posts [][]byte, size int) {
	g := testenv.NewEvents(7)
	g.Body = body
	posts = make([][]byte, n)
	for i := range posts {
		posts[i] = g.List(nil, perPost)
		size += len(posts[i])
	}
	return posts, size / n / perPost
}

func median(list []result) result {
	slices.SortFunc(list, func(a, b result) int { return int(a.cpu - b.cpu) })
	return list[len(list)/2]
}

// send posts everything, b.parallel at a time.
func (b *bench) send(ctx context.Context, client *http.Client, url string, posts [][]byte) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range b.parallel {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(posts) {
					return nil
				}
				if err := post(ctx, client, url, bytes.NewReader(posts[i])); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// post sends one body and repeats it while the server asks to come again.
func post(ctx context.Context, client *http.Client, url string, body *bytes.Reader) error {
	for range 600 {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.NopCloser(body))
		if err != nil {
			return err
		}
		req.ContentLength = body.Size() // as kube-apiserver says it
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		switch {
		case resp.StatusCode < 300:
			return nil
		case resp.Header.Get("Retry-After") == "":
			return fmt.Errorf("the server answered %s", resp.Status)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the server asked to come again for a minute")
}

// folder returns a fresh folder of the run.
func (b *bench) folder(name string) (string, error) {
	b.n++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.n))
	return dir, os.MkdirAll(dir, 0o700)
}

func (b *bench) baseline(ctx context.Context, posts [][]byte) (result, error) {
	dir, err := b.folder("baseline")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	in, err := testenv.NewInstallation(dir)
	if err != nil {
		return result{}, err
	}
	if err := in.Write(); err != nil {
		return result{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-baseline", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	address, err := waitFile(ctx, filepath.Join(dir, "address"))
	if err != nil {
		return result{}, err
	}
	client, err := in.APIServerClient()
	if err != nil {
		return result{}, err
	}
	before, start := cpuOf(cmd.Process.Pid), time.Now()
	if err := b.send(ctx, client, "https://"+address+"/", posts); err != nil {
		return result{}, err
	}
	return result{events: len(posts) * perPost, wall: time.Since(start), cpu: cpuOf(cmd.Process.Pid) - before, peak: peakOf(cmd.Process.Pid)}, nil
}

// whole runs the receiver with one trail that takes everything, until every
// record is in a bucket on a real S3 server.
func (b *bench) whole(ctx context.Context, posts [][]byte) (result, error) {
	return b.wholeWith(ctx, posts, oneTrail)
}

// wholeWith does so with other trails beside it.
func (b *bench) wholeWith(ctx context.Context, posts [][]byte, trails ...func(*testenv.S3Server) receiverconfig.Trail) (result, error) {
	s, err := b.startReceiver(ctx, trails...)
	if err != nil {
		return result{}, err
	}
	defer s.stop()
	before, start := cpuOf(s.receiver.PID()), time.Now()
	if err := b.send(ctx, s.client, s.url, posts); err != nil {
		return result{}, err
	}
	events := len(posts) * perPost
	if err := s.delivered(ctx, int64(events)); err != nil {
		return result{}, err
	}
	r := result{events: events, wall: time.Since(start), cpu: cpuOf(s.receiver.PID()) - before, peak: peakOf(s.receiver.PID())}
	r.bucket, err = s.bucketBytes()
	return r, err
}

// largePost sends one body of many megabytes, as an API server without
// truncation may.
func (b *bench) largePost(ctx context.Context) error {
	s, err := b.startReceiver(ctx, oneTrail)
	if err != nil {
		return err
	}
	defer s.stop()
	g := testenv.NewEvents(9)
	g.Body = 900_000
	var body bytes.Buffer
	body.WriteString(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`)
	n := 0
	for body.Len() < b.large*1_000_000 {
		one := g.List(nil, 1)
		if n > 0 {
			body.WriteByte(',')
		}
		body.Write(one[bytes.IndexByte(one, '[')+1 : bytes.LastIndexByte(one, ']')])
		n++
	}
	body.WriteString("]}")
	start, before := time.Now(), cpuOf(s.receiver.PID())
	if err := post(ctx, s.client, s.url, bytes.NewReader(body.Bytes())); err != nil {
		return err
	}
	if err := s.delivered(ctx, int64(n)); err != nil {
		return err
	}
	fmt.Printf("\none POST of %d MB with %d events: delivered after %.1f s, %.1f s CPU, peak RSS %d MiB\n", body.Len()/1_000_000, n,
		time.Since(start).Seconds(), (cpuOf(s.receiver.PID()) - before).Seconds(), peakOf(s.receiver.PID())>>20)
	return nil
}

func waitFile(ctx context.Context, path string) (string, error) {
	for ctx.Err() == nil {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			return strings.TrimSpace(string(b)), nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", ctx.Err()
}

func build(ctx context.Context, to, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// oneTrail is a trail of the whole cluster.
func oneTrail(s3 *testenv.S3Server) receiverconfig.Trail {
	return receiverconfig.Trail{
		UID: "00000000-0000-4000-8000-00000000000a", Name: "perf.all", Generation: 1, ARN: "arn:k8s:cloudtrail:test-1:123456789012:trail/perf.all",
		Destination: receiverconfig.Destination{
			Endpoint: s3.Endpoint, Bucket: "perf", Region: s3.Region, Prefix: "perf",
			AccessKeyID: s3.AccessKey, SecretAccessKey: s3.SecretKey, AllowPrivate: true,
		},
		LogFileValidation: true, MaxFileAgeSeconds: 30, MaxFileSizeMiB: 64,
	}
}
