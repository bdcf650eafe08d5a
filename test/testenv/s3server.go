// Package testenv starts the programs that tests and the demo run against.
package testenv

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/trail-operator/trail-operator/hack/assets"
)

// S3Region is the region that the servers are started with.
const S3Region = "us-east-1"

// S3Options say how to start an S3 server. The zero value is a server on a free
// port of the loopback interface, without TLS, with credentials of its own.
type S3Options struct {
	Address              string // host:port, to start a server where another one was
	AccessKey, SecretKey string
	CertFile, KeyFile    string // PEM, for TLS
	// KMSKey names the one key with which a MinIO encrypts; without, it refuses
	// all encryption. It is of no use to a versitygw, which ignores encryption.
	KMSKey string
	// FastScanner makes a MinIO apply lifecycle rules within seconds, at the
	// cost of a busy disk.
	FastScanner bool
	Log         io.Writer
	Progress    io.Writer // told when the program has to be built first
}

// S3Server is a running S3 server.
type S3Server struct {
	Endpoint             string // URL
	Region               string
	AccessKey, SecretKey string // of the server's owner

	stop context.CancelFunc
	done chan struct{} // closed when the process has ended
	err  error         // of the process
}

// StartVersityGW starts a versitygw that keeps objects as files under dir,
// whose file system must have extended attributes. It returns when the server
// answers; the server ends with ctx or Stop.
func StartVersityGW(ctx context.Context, dir string, o S3Options) (*S3Server, error) {
	return startS3(ctx, "versitygw", dir, o, func(s *S3Server, address, data, conf string) ([]string, []string, error) {
		iam, versions := filepath.Join(conf, "iam"), filepath.Join(filepath.Dir(data), "versions")
		if err := errors.Join(os.MkdirAll(iam, 0o700), os.MkdirAll(versions, 0o700)); err != nil {
			return nil, nil, err
		}
		args := []string{"--port", address, "--region", s.Region, "--iam-dir", iam, "--quiet"}
		if o.CertFile != "" {
			args = append(args, "--cert", o.CertFile, "--key", o.KeyFile)
		}
		env := []string{"ROOT_ACCESS_KEY_ID=" + s.AccessKey, "ROOT_SECRET_ACCESS_KEY=" + s.SecretKey}
		return append(args, "posix", "--versioning-dir", versions, data), env, nil
	})
}

// StartMinIO starts a MinIO that keeps objects under dir. It returns when the
// server answers; the server ends with ctx or Stop.
func StartMinIO(ctx context.Context, dir string, o S3Options) (*S3Server, error) {
	return startS3(ctx, "minio", dir, o, func(s *S3Server, address, data, conf string) ([]string, []string, error) {
		certs := filepath.Join(conf, "certs")
		if err := os.MkdirAll(certs, 0o700); err != nil {
			return nil, nil, err
		}
		for name, from := range map[string]string{"public.crt": o.CertFile, "private.key": o.KeyFile} {
			if from == "" {
				continue
			}
			pem, err := os.ReadFile(from)
			if err != nil {
				return nil, nil, err
			}
			if err := os.WriteFile(filepath.Join(certs, name), pem, 0o600); err != nil {
				return nil, nil, err
			}
		}
		env := []string{
			"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_REGION=" + s.Region,
			"MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=" + conf,
		}
		if o.KMSKey != "" {
			secret, err := kmsSecret(filepath.Join(conf, "kms.key"))
			if err != nil {
				return nil, nil, err
			}
			env = append(env, "MINIO_KMS_SECRET_KEY="+o.KMSKey+":"+secret)
		}
		if o.FastScanner {
			env = append(env, "MINIO_SCANNER_SPEED=fastest")
		}
		return []string{"server", "--quiet", "--address", address, "--certs-dir", certs, data}, env, nil
	})
}

// kmsSecret returns the secret in file, or a new one: what a server encrypted
// must be readable when it is started again.
func kmsSecret(file string) (string, error) {
	secret, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // which never fails
		err = os.WriteFile(file, secret, 0o600)
	}
	return base64.StdEncoding.EncodeToString(secret), err
}

// s3Command returns the arguments and the environment of a server.
type s3Command func(s *S3Server, address, data, conf string) (args, env []string, err error)

// attempts to start a server: another process may take the free port first.
const attempts = 3

func startS3(ctx context.Context, program, dir string, o S3Options, command s3Command) (*S3Server, error) {
	progress := o.Progress
	if progress == nil {
		progress = io.Discard
	}
	paths, err := assets.Ensure(ctx, progress, program)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	data, conf := filepath.Join(dir, "data"), filepath.Join(dir, "conf")
	for _, d := range []string{data, conf} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	for range attempts {
		var s *S3Server
		if s, err = startS3Once(ctx, paths[program], data, conf, o, command); err == nil || ctx.Err() != nil || o.Address != "" {
			return s, err
		}
	}
	return nil, err
}

func startS3Once(ctx context.Context, program, data, conf string, o S3Options, command s3Command) (*S3Server, error) {
	address := o.Address
	if address == "" {
		free, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		address = free
	}
	scheme := "http://"
	if o.CertFile != "" {
		scheme = "https://"
	}
	s := &S3Server{
		Endpoint:  scheme + address,
		Region:    S3Region,
		AccessKey: cmp.Or(o.AccessKey, rand.Text()[:20]),
		SecretKey: cmp.Or(o.SecretKey, rand.Text()),
		done:      make(chan struct{}),
	}
	args, env, err := command(s, address, data, conf)
	if err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = conf, append(env, "PATH="+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = o.Log, o.Log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	endWithParent(cmd)
	started := make(chan error)
	go func() {
		// Linux ends the child with the thread that started it, so the thread
		// must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		s.stop()
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	if err := s.waitReady(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	return s, nil
}

// Address returns the host:port that the server listens on.
func (s *S3Server) Address() string {
	_, address, _ := strings.Cut(s.Endpoint, "://")
	return address
}

// Stop ends the server and waits until it is gone. What it stored stays.
func (s *S3Server) Stop() {
	s.stop()
	<-s.done
}

// waitReady waits until the server answers a request, whatever it says.
func (s *S3Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // only asks whether anybody answers
	}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint, http.NoBody)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable { // MinIO's, until it is ready
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("it has ended: %w", errors.Join(s.err, errors.New("see its log")))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer at %s: %w", s.Endpoint, ctx.Err())
		case <-tick.C:
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
