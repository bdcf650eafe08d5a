package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// running is a receiver with a bucket behind it.
type running struct {
	dir      string
	in       *testenv.Installation
	s3       *testenv.S3Server
	receiver *testenv.Receiver
	client   *http.Client
	manager  *http.Client
	url      string
}

func (b *bench) startReceiver(ctx context.Context, trails ...func(*testenv.S3Server) receiverconfig.Trail) (s *running, err error) {
	dir, err := b.folder("receiver")
	if err != nil {
		return nil, err
	}
	s = &running{dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.s3, err = testenv.StartVersityGW(ctx, filepath.Join(dir, "s3"), testenv.S3Options{}); err != nil {
		return nil, err
	}
	in, err := testenv.NewInstallation(filepath.Join(dir, "config"))
	if err != nil {
		return nil, err
	}
	s.in = in
	for _, trail := range trails {
		in.Trails = append(in.Trails, trail(s.s3))
	}
	if err := in.Write(); err != nil {
		return nil, err
	}
	d := in.Trails[0].Destination
	store, err := minio.New(objectstore.Config{
		Endpoint: d.Endpoint, Region: d.Region, Bucket: d.Bucket,
		AccessKey: d.AccessKeyID, SecretKey: d.SecretAccessKey, AllowPrivate: true,
	})
	if err != nil {
		return nil, err
	}
	if err := store.CreateBucket(ctx); err != nil {
		return nil, err
	}
	if s.receiver, err = in.StartReceiver(b.options.receiver, filepath.Join(dir, "data"), filepath.Join(dir, "receiver.log"), ""); err != nil {
		return nil, err
	}
	if s.client, err = in.APIServerClient(); err != nil {
		return nil, err
	}
	s.client.Timeout = 10 * time.Minute
	if s.manager, err = in.ManagerClient(); err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("https://%s/v1/audit/%s/%s", s.receiver.Address, testenv.Account, testenv.APIServer)
	return s, s.wait(ctx, "the receiver to be ready", func(st *receiverstatus.Status) bool { return len(st.Trails) == len(trails) })
}

// delivered suspends all trails, which closes their open files, and waits until
// all is in the bucket, of the first trail n records.
func (s *running) delivered(ctx context.Context, n int64) error {
	for i := range s.in.Trails {
		s.in.Trails[i].Suspended = true
		s.in.Trails[i].Generation++
	}
	if err := s.in.Write(); err != nil {
		return err
	}
	first := s.in.Trails[0].UID
	return s.wait(ctx, "delivery", func(st *receiverstatus.Status) bool {
		for i := range st.Trails {
			t := &st.Trails[i]
			if !t.Flushed || t.UID == first && t.Counts.Delivered != n {
				return false
			}
		}
		return true
	})
}

// bucketBytes is the size of the log files in the bucket: the server keeps each
// object as a file.
func (s *running) bucketBytes() (n int64, err error) {
	err = filepath.WalkDir(filepath.Join(s.dir, "s3"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/CloudTrail/") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

func (s *running) wait(ctx context.Context, what string, done func(*receiverstatus.Status) bool) error {
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		st, err := s.status(ctx)
		if err != nil {
			last = err.Error()
			continue
		}
		if done(st) {
			return nil
		}
		last = fmt.Sprintf("%+v", st)
	}
	log, _ := os.ReadFile(s.receiver.Log)
	return fmt.Errorf("waiting for %s: %s\n%s", what, last, log[max(0, len(log)-2000):])
}

func (s *running) status(ctx context.Context) (*receiverstatus.Status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.receiver.Address+receiverstatus.PathStatus, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.manager.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	st := &receiverstatus.Status{}
	return st, json.NewDecoder(resp.Body).Decode(st)
}

func (s *running) stop() {
	if s.receiver != nil {
		_ = s.receiver.Stop()
	}
	if s.s3 != nil {
		s.s3.Stop()
	}
	_ = os.RemoveAll(s.dir)
}
