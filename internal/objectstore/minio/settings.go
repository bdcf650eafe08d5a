package minio

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 wants it for settings; it protects nothing.
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// namespace is that of the XML documents of S3.
const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// setting is one setting of a bucket, with the names that S3 has for it.
type setting struct {
	resource string
	get, set objectstore.Op
	absent   []string // error codes of a bucket that does not have it
}

var (
	versioning = setting{"versioning", objectstore.OpGetVersioning, objectstore.OpSetVersioning, nil}
	encryption = setting{
		"encryption", objectstore.OpGetEncryption, objectstore.OpSetEncryption,
		[]string{"ServerSideEncryptionConfigurationNotFoundError"},
	}
	objectLock = setting{
		"object-lock", objectstore.OpGetObjectLock, objectstore.OpSetObjectLock,
		[]string{"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"},
	}
	lifecycle = setting{
		"lifecycle", objectstore.OpGetLifecycle, objectstore.OpSetLifecycle,
		[]string{"NoSuchLifecycleConfiguration"},
	}
	tagging = setting{"tagging", objectstore.OpGetTags, objectstore.OpSetTags, []string{"NoSuchTagSet", "NoSuchTagSetError"}}
	policy  = setting{"policy", objectstore.OpGetPolicy, objectstore.OpSetPolicy, []string{"NoSuchBucketPolicy"}}
)

// read returns the document of a setting, or nil when the bucket has none.
func (s *store) read(ctx context.Context, of setting) (document []byte, header http.Header, err error) {
	document, header, err = s.exchange(ctx, of.get, http.MethodGet, of, nil, nil)
	var e *objectstore.Error
	if errors.As(err, &e) && slices.Contains(of.absent, e.Code) {
		return nil, nil, nil
	}
	return document, header, err
}

// readXML reads the document of a setting into into, a pointer to a structure
// with an XMLName. It leaves it alone when the bucket has none.
func (s *store) readXML(ctx context.Context, of setting, into any) error {
	document, _, err := s.read(ctx, of)
	if err != nil || document == nil {
		return err
	}
	if err := xml.Unmarshal(document, into); err != nil {
		return &objectstore.Error{Op: of.get, Err: unexpected(document)}
	}
	return nil
}

// unexpected says what a document is that is not that of the setting: servers
// that do not know a setting answer with the list of the bucket.
func unexpected(document []byte) error {
	var root struct{ XMLName xml.Name }
	if xml.Unmarshal(document, &root) == nil && root.XMLName.Local == "ListBucketResult" {
		return objectstore.ErrNotImplemented
	}
	return errAnswer
}

// write replaces the document of a setting.
func (s *store) write(ctx context.Context, of setting, document []byte, header http.Header) error {
	_, _, err := s.exchange(ctx, of.set, http.MethodPut, of, document, header)
	var e *objectstore.Error
	if errors.As(err, &e) && (e.Code == "BucketAlreadyExists" || e.Code == minio.BucketAlreadyOwnedByYou) {
		e.Err = objectstore.ErrNotImplemented // it took the setting for a new bucket
	}
	return err
}

func (s *store) writeXML(ctx context.Context, of setting, document any) error {
	encoded, err := xml.Marshal(document)
	if err != nil {
		return &objectstore.Error{Op: of.set, Err: err}
	}
	return s.write(ctx, of, encoded, nil)
}

// remove removes a setting that the bucket is known to have: a server that does
// not know it takes the request for one to delete the bucket.
func (s *store) remove(ctx context.Context, of setting) error {
	_, _, err := s.exchange(ctx, of.set, http.MethodDelete, of, nil, nil)
	return err
}

// exchange sends one request about the bucket as a whole. minio-go has methods
// for most of them, which know only a part of what S3 has, so that what is
// written back would lose the rest.
func (s *store) exchange(ctx context.Context, op objectstore.Op, method string, of setting, body []byte, header http.Header) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := s.request(ctx, method, of.resource, body, header)
	if err != nil {
		return nil, nil, classify(ctx, op, err)
	}
	resp, err := s.wire.RoundTrip(req)
	if err != nil {
		return nil, nil, classify(ctx, op, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body) // which wire bounds
	if err != nil {
		return nil, nil, classify(ctx, op, err)
	}
	if resp.StatusCode/100 == 2 {
		return answer, resp.Header, nil
	}
	failure := minio.ErrorResponse{}
	if xml.Unmarshal(answer, &failure) != nil {
		failure = minio.ErrorResponse{}
	}
	failure.StatusCode = resp.StatusCode
	return nil, nil, classifyAnswer(op, failure)
}

// request makes a signed request.
func (s *store) request(ctx context.Context, method, resource string, body []byte, header http.Header) (*http.Request, error) {
	// minio-go tells under which address it speaks to the bucket.
	address, err := s.core.Presign(ctx, http.MethodGet, s.bucket, "", time.Minute, nil)
	if err != nil {
		return nil, err
	}
	address.RawQuery = resource + "="
	req, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	sum := sha256.Sum256(body)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	if body != nil {
		md5 := md5.Sum(body) //nolint:gosec // see the import
		req.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(md5[:]))
		req.Header.Set("Content-Type", "application/xml")
	}
	c, err := s.credentials.GetWithContext(s.core.CredContext())
	if err != nil {
		return nil, err
	}
	return signer.SignV4(*req, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, s.region), nil
}
