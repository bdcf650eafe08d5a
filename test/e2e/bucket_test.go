//go:build linux

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/hack/cluster"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/record"
)

// The bucket server's owner.
const (
	accessKey = "AKIAE2E"
	secretKey = "e2e-secret-that-must-stay-secret"

	bucketRegion = "us-east-1"
	kmsKey       = "e2e-key"
)

// bucketServer is an S3 server on the node, at an address that stands for the
// world outside the cluster.
type bucketServer struct {
	e       *environment
	name    string // of the program
	address string // host:port, as pods reach it
	local   string // host:port, as this process reaches it
	command func(s *bucketServer, data string) (args, env []string)
	process *cluster.Process
	files   map[string][]record.Record
}

func versitygw(s *bucketServer, data string) (args, env []string) {
	return []string{"--port", s.address, "--region", bucketRegion, "--quiet", "posix", data},
		[]string{"ROOT_ACCESS_KEY_ID=" + accessKey, "ROOT_SECRET_ACCESS_KEY=" + secretKey}
}

// minioServer has what versitygw lacks: versions, locks, encryption, lifecycle.
func minioServer(s *bucketServer, data string) (args, env []string) {
	return []string{"server", "--quiet", "--address", s.address, "--certs-dir", data + "-certs", data},
		[]string{
			"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_REGION=" + bucketRegion,
			"MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=" + data + "-home",
			"MINIO_KMS_SECRET_KEY=" + kmsKey + ":" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		}
}

func (e *environment) startBucketServer(ctx context.Context, name, ip string, command func(*bucketServer, string) (args, env []string)) (*bucketServer, error) {
	s := &bucketServer{e: e, name: name, address: ip + ":9000", command: command, files: map[string][]record.Record{}}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	var err error
	s.local, err = e.cluster.Forward(s.address)
	return s, err
}

// start starts the server; what it has stored before is still there.
func (s *bucketServer) start(ctx context.Context) error {
	programs, err := assets.Ensure(ctx, os.Stderr, s.name)
	if err != nil {
		return err
	}
	data := filepath.Join(s.e.dir, s.name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	args, env := s.command(s, data)
	cmd := exec.Command(programs[s.name], args...)
	cmd.Env = append(os.Environ(), env...)
	if s.process, err = s.e.cluster.StartProcess(s.name, cmd); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: s.e.cluster.Dial, DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable { // MinIO's, until it is ready
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w (%s)", s.name, err, s.e.cluster.Tail(s.name))
		case <-s.process.Done():
			return fmt.Errorf("%s has ended: %s", s.name, s.e.cluster.Tail(s.name))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *bucketServer) endpoint() string { return "http://" + s.address }

func (s *bucketServer) open(bucket string) (objectstore.Store, error) {
	return minio.New(objectstore.Config{
		Endpoint: "http://" + s.local, Region: bucketRegion, Bucket: bucket, AccessKey: accessKey, SecretKey: secretKey, AllowPrivate: true,
	})
}

// records returns all records of the log files below a prefix. A file that was
// read before is not read again: nothing that is delivered changes.
func (s *bucketServer) records(ctx context.Context, bucket, prefix string) ([]record.Record, error) {
	store, err := s.open(bucket)
	if err != nil {
		return nil, err
	}
	var all []record.Record
	for info, err := range store.List(ctx, prefix+"/", "") {
		if err != nil {
			return nil, err
		}
		if !record.IsLogFileKey(info.Key) {
			continue
		}
		records, ok := s.files[bucket+"/"+info.Key]
		if !ok {
			if records, err = fetch(ctx, store, info.Key); err != nil {
				return nil, fmt.Errorf("%s: %w", info.Key, err)
			}
			s.files[bucket+"/"+info.Key] = records
		}
		all = append(all, records...)
	}
	return all, nil
}

func fetch(ctx context.Context, store objectstore.Store, key string) ([]record.Record, error) {
	body, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	unzipped, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	var f record.LogFile
	err = json.NewDecoder(unzipped).Decode(&f)
	return f.Records, err
}

// recordsOf returns all records of a trail.
func (e *environment) recordsOf(ctx context.Context, t *testing.T, tr trail) []record.Record {
	t.Helper()
	records, err := tr.server(e).records(ctx, tr.bucket(), tr.prefix())
	if err != nil {
		t.Fatal(err)
	}
	return records
}
