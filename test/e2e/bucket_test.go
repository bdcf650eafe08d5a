//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
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
)

// bucketServer is a versitygw on the node, at an address that stands for the
// world outside the cluster.
type bucketServer struct {
	e        *environment
	process  *cluster.Process
	endpoint string // as pods reach it
	local    string // as this process reaches it
	files    map[string][]record.Record
}

const bucketAddress = cluster.OutsideIP + ":7070"

func (e *environment) startBucketServer(ctx context.Context) (*bucketServer, error) {
	s := &bucketServer{e: e, endpoint: "http://" + bucketAddress, files: map[string][]record.Record{}}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	local, err := e.cluster.Forward(bucketAddress)
	s.local = "http://" + local
	return s, err
}

// start starts the server; what it has stored before is still there.
func (s *bucketServer) start(ctx context.Context) error {
	programs, err := assets.Ensure(ctx, os.Stderr, "versitygw")
	if err != nil {
		return err
	}
	data, iam := filepath.Join(s.e.dir, "s3", "data"), filepath.Join(s.e.dir, "s3", "iam")
	for _, dir := range []string{data, iam} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	cmd := exec.Command(programs["versitygw"], "--port", bucketAddress, "--region", "us-east-1", "--iam-dir", iam, "--quiet", "posix", data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+accessKey, "ROOT_SECRET_ACCESS_KEY="+secretKey)
	if s.process, err = s.e.cluster.StartProcess("versitygw", cmd); err != nil {
		return err
	}
	for {
		conn, err := s.e.cluster.Dial(ctx, "tcp", bucketAddress)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the bucket server does not answer: %w (%s)", err, s.e.cluster.Tail("versitygw"))
		case <-s.process.Done():
			return fmt.Errorf("the bucket server has ended: %s", s.e.cluster.Tail("versitygw"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *bucketServer) open(bucket string) (objectstore.Store, error) {
	return minio.New(objectstore.Config{
		Endpoint: s.local, Region: "us-east-1", Bucket: bucket, AccessKey: accessKey, SecretKey: secretKey, AllowPrivate: true,
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
func (e *environment) recordsOf(ctx context.Context, t *testing.T, trail trail) []record.Record {
	t.Helper()
	records, err := e.s3.records(ctx, trail.bucket(), trail.prefix())
	if err != nil {
		t.Fatal(err)
	}
	return records
}
