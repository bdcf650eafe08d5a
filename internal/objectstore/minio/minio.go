// Package minio reaches buckets on S3-compatible servers with minio-go. The
// server may be a tenant's: what it answers is bounded, checked and never
// quoted.
package minio

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// checksumHeader carries the SHA-256 of the body, in base64.
const checksumHeader = "X-Amz-Checksum-Sha256"

// defaultRegion is what servers take that have no regions.
const defaultRegion = "us-east-1"

// store is a bucket on a server.
type store struct {
	core        *minio.Core
	credentials *credentials.Credentials
	bucket      string
	region      string
	wire        *wire
}

var _ objectstore.Opener = New

// New makes a Store. It does not contact the server. Its errors say what is
// wrong with cfg, without quoting it.
func New(cfg objectstore.Config) (objectstore.Store, error) {
	s, err := open(cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(cfg objectstore.Config) (*store, error) {
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	if cfg.Endpoint == "" {
		cfg.Endpoint = "https://s3.amazonaws.com" // minio-go puts that of the region in its place
	}
	endpoint, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	if s3utils.CheckValidBucketNameStrict(cfg.Bucket) != nil {
		return nil, errors.New("the bucket's name is not valid: it takes 3 to 63 lower-case letters, digits, dots and hyphens")
	}
	creds, err := credentialsOf(cfg)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := trust(cfg.CA)
	if err != nil {
		return nil, err
	}
	wire := newWire(newDialer(cfg.AllowPrivate, cfg.DenyHosts), tlsConfig)
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:     creds,
		Secure:    endpoint.Scheme == "https",
		Transport: wire,
		Region:    cfg.Region, // given, so that it is never asked for

		BucketLookup: lookup(cfg),
		MaxRetries:   1, // the uploader has its own schedule
	})
	if err != nil {
		return nil, errors.New("the endpoint's host name is not valid")
	}
	return &store{core: core, credentials: creds, bucket: cfg.Bucket, region: cfg.Region, wire: wire}, nil
}

// credentialsOf never takes the ambient credentials for want of others: those
// of the operator would write to the bucket of a tenant.
func credentialsOf(cfg objectstore.Config) (*credentials.Credentials, error) {
	switch {
	case cfg.Ambient && cfg.AccessKey+cfg.SecretKey+cfg.Token != "":
		return nil, errors.New("the credentials are either given or ambient, not both")
	case cfg.Ambient:
		return ambientCredentials(), nil
	case cfg.AccessKey == "" || cfg.SecretKey == "":
		return nil, errors.New("the credentials need an access key and a secret key")
	}
	return credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, cfg.Token), nil
}

// lookup is the host style for the clouds that want it, the path style for
// everybody else.
func lookup(cfg objectstore.Config) minio.BucketLookupType {
	if cfg.PathStyle {
		return minio.BucketLookupPath
	}
	return minio.BucketLookupAuto
}

func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return nil, errors.New("the endpoint is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the endpoint must begin with https:// or http://")
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("the endpoint has no host name")
	case u.User != nil:
		return nil, errors.New("the endpoint must not contain credentials")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the endpoint must end after the host name and port")
	}
	return u, nil
}

// Create implements objectstore.Store. The body goes in one request, with its
// SHA-256 both in the signature and as the checksum that the server stores.
// Over plain HTTP, too, it is not cut into signed chunks: several servers store
// their framing.
func (s *store) Create(ctx context.Context, key string, body io.ReadSeeker, size int64, o objectstore.PutOptions) error {
	if err := objectstore.Rewind(body, size); err != nil {
		return &objectstore.Error{Op: objectstore.OpPut, Err: fmt.Errorf("reading the body: %w", err)}
	}
	checksum := base64.StdEncoding.EncodeToString(o.SHA256[:])
	opts := minio.PutObjectOptions{
		ContentType:          o.ContentType,
		DisableContentSha256: true, // of the chunks; that of the body is given below
		UserMetadata:         map[string]string{checksumHeader: checksum},
	}
	opts.SetMatchETagExcept("*")
	for k, v := range o.Metadata {
		opts.UserMetadata["x-amz-meta-"+k] = v
	}
	if err := protect(&opts, o); err != nil {
		return &objectstore.Error{Op: objectstore.OpPut, Err: err}
	}
	sent := &source{body: body}
	info, err := s.core.PutObject(ctx, s.bucket, key, sent, size, "", hex.EncodeToString(o.SHA256[:]), opts)
	switch unreadable := sent.finish(); {
	case unreadable != nil:
		return &objectstore.Error{Op: objectstore.OpPut, Err: fmt.Errorf("reading the body: %w", unreadable)}
	case err != nil:
		return unlocked(classify(ctx, objectstore.OpPut, err), o)
	case info.ETag == "":
		return &objectstore.Error{Op: objectstore.OpPut, Err: errAnswer}
	case info.ChecksumSHA256 != "" && info.ChecksumSHA256 != checksum:
		return &objectstore.Error{Op: objectstore.OpPut, Err: objectstore.ErrBadDigest}
	}
	return nil
}

// Head implements objectstore.Store.
func (s *store) Head(ctx context.Context, key string) (objectstore.Info, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return objectstore.Info{}, s.missing(ctx, objectstore.OpHead, key, classify(ctx, objectstore.OpHead, err))
	}
	return describe(key, info), nil
}

// Get implements objectstore.Store.
func (s *store) Get(ctx context.Context, key string) (io.ReadCloser, objectstore.Info, error) {
	body, info, _, err := s.core.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, objectstore.Info{}, s.missing(ctx, objectstore.OpGet, key, classify(ctx, objectstore.OpGet, err))
	}
	return &object{body: body, ctx: ctx}, describe(key, info), nil
}

// missing tells an object that is not there from one that may not be read: to
// those who may list some prefixes only, S3 answers both with 403.
func (s *store) missing(ctx context.Context, op objectstore.Op, key string, err error) error {
	if !errors.Is(err, objectstore.ErrAccessDenied) {
		return err
	}
	for info := range s.list(ctx, minio.ListObjectsOptions{Prefix: key, MaxKeys: 1}) {
		if info.Err != nil || info.Key == key {
			return err
		}
		break
	}
	if ctx.Err() != nil { // which ends a list without a word
		return err
	}
	return &objectstore.Error{Op: op, Code: minio.NoSuchKey, Status: http.StatusNotFound, Err: objectstore.ErrNotExist}
}

func describe(key string, info minio.ObjectInfo) objectstore.Info {
	d := objectstore.Info{Key: key, Size: info.Size, ETag: info.ETag, Modified: info.LastModified}
	for k, v := range info.UserMetadata {
		if d.Metadata == nil {
			d.Metadata = make(map[string]string, len(info.UserMetadata))
		}
		d.Metadata[strings.ToLower(k)] = v
	}
	d.Encryption, d.Retention = describeProtection(info.Headers)
	return d
}

// CheckBucket implements objectstore.Store. It lists one object: the answer to
// HEAD has no body, so it could not tell a wrong key from a missing permission,
// and some servers call a missing bucket a missing object there.
func (s *store) CheckBucket(ctx context.Context, prefix string) error {
	for info := range s.list(ctx, minio.ListObjectsOptions{Prefix: prefix, MaxKeys: 1}) {
		return classify(ctx, objectstore.OpCheckBucket, info.Err)
	}
	return classify(ctx, objectstore.OpCheckBucket, ctx.Err())
}

// CreateBucket implements objectstore.Store.
func (s *store) CreateBucket(ctx context.Context) error {
	return s.createBucket(ctx, minio.MakeBucketOptions{Region: s.region})
}

func (s *store) createBucket(ctx context.Context, o minio.MakeBucketOptions) error {
	err := s.core.MakeBucket(ctx, s.bucket, o)
	if minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou {
		return nil
	}
	return classify(ctx, objectstore.OpCreateBucket, err)
}

// ServerTime implements objectstore.Store.
func (s *store) ServerTime() (time.Duration, bool) { return s.wire.serverTime() }
