// Package objectstore is the small interface between trails and S3-compatible
// servers. Implementations: objectstore/minio (real) and objectstore/memory
// (tests, with fault injection); objectstore/storetest holds what each must do.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Errors that callers tell apart with errors.Is. Implementations wrap them
// together with the server's error code, never with its message: the message
// may quote the request.
var (
	ErrNotExist         = errors.New("no such object")
	ErrNoBucket         = errors.New("no such bucket")
	ErrExists           = errors.New("object exists already")         // create-only Put refused (412), or a lost race (409)
	ErrAccessDenied     = errors.New("access denied")                 // 403
	ErrBadCredentials   = errors.New("credentials were not accepted") // unknown access key or wrong secret
	ErrCertificate      = errors.New("certificate was not accepted")
	ErrUnreachable      = errors.New("server cannot be reached")
	ErrClockSkew        = errors.New("clock differs from the server's")
	ErrThrottled        = errors.New("server asks to slow down") // 429, 503
	ErrBadDigest        = errors.New("body was damaged on the way")
	ErrNotImplemented   = errors.New("server does not implement this")
	ErrForbiddenAddress = errors.New("address is not allowed")
	ErrRegion           = errors.New("bucket is in another region")
	ErrKey              = errors.New("encryption key cannot be used") // unknown, disabled, or not ours to use
	ErrArchived         = errors.New("object is archived")            // it must be restored before it can be read
	ErrChanged          = errors.New("somebody else changed it at the same time")
	ErrNotKept          = errors.New("server accepted it and did not keep all of it")
	ErrBucketState      = errors.New("bucket does not allow this as it is") // object lock without versioning, for one
)

// Op names a method of Store or Admin.
type Op string

// The operations.
const (
	OpPut          Op = "put"
	OpHead         Op = "head"
	OpGet          Op = "get"
	OpList         Op = "list"
	OpCheckBucket  Op = "check bucket"
	OpCreateBucket Op = "create bucket"

	OpGetVersioning Op = "get versioning"
	OpSetVersioning Op = "set versioning"
	OpGetEncryption Op = "get default encryption"
	OpSetEncryption Op = "set default encryption"
	OpGetObjectLock Op = "get object lock"
	OpSetObjectLock Op = "set object lock"
	OpGetLifecycle  Op = "get lifecycle"
	OpSetLifecycle  Op = "set lifecycle"
	OpGetTags       Op = "get tags"
	OpSetTags       Op = "set tags"
	OpGetPolicy     Op = "get policy"
	OpSetPolicy     Op = "set policy"
)

// Error carries what an implementation knows of a failure. It unwraps to one
// of the errors above where the cause is known, and to the error of the context
// where that ended the call. Its text may be shown to the owner of a trail: no
// part of it was chosen by the server but Code, which has letters and digits
// only.
type Error struct {
	Op     Op
	Code   string // S3 error code, or empty
	Status int    // HTTP status, or 0
	Err    error
}

func (e *Error) Error() string {
	s := string(e.Op) + ": " + e.Err.Error()
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Code returns the S3 error code of err, or "InternalError".
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return "InternalError"
}

// PutOptions describe an object to be created.
type PutOptions struct {
	ContentType string
	// SHA256 is that of the body; it is sent, and checked by the server.
	SHA256 [32]byte
	// Metadata keys are lower case, without x-amz-meta-.
	Metadata map[string]string
	// Encryption and Retention are asked for. There are servers that take the
	// object and ignore the wish: what they made of it is in the Info of Head.
	Encryption Encryption
	Retention  Retention
}

// Info describes a stored object.
type Info struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
	Metadata map[string]string // keys in lower case; empty in listings
	// Encryption and Retention are what the server says of the object; empty in
	// listings, and where the credentials may not know.
	Encryption Encryption
	Retention  Retention
}

// Store is one bucket on one server. It is safe for concurrent use.
type Store interface {
	// Create stores body under key only if the key is free: ErrExists
	// otherwise. It sends body from its start, all size bytes of it, and does
	// not close it. It returns nil only when the server has confirmed the
	// object. After another error than ErrExists the object may exist all the
	// same; a caller that tries again and gets ErrExists then compares it by
	// Head.
	Create(ctx context.Context, key string, body io.ReadSeeker, size int64, o PutOptions) error
	// Head describes the object, or ErrNotExist; where the bucket is missing
	// too, either of ErrNotExist and ErrNoBucket.
	Head(ctx context.Context, key string) (Info, error)
	// Get opens the object; its errors are those of Head. The caller closes it,
	// and ctx holds for reading it, too.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)
	// List yields the objects under prefix in lexicographic order, those
	// after startAfter only. It stops after the first error.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error]
	// CheckBucket returns nil when the bucket exists and what is below prefix
	// may be listed, ErrNoBucket when it does not exist.
	CheckBucket(ctx context.Context, prefix string) error
	// CreateBucket creates the bucket. A bucket that exists and is ours is no
	// error; one that belongs to somebody else is ErrExists.
	CreateBucket(ctx context.Context) error
	// ServerTime is the server's clock minus ours as last seen in an answer's
	// Date header; ok is false before the first answer.
	ServerTime() (offset time.Duration, ok bool)
}

// Config says how to reach a bucket.
type Config struct {
	Endpoint  string // https://host[:port] or http://…; empty = AWS of Region
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string
	Token     string // session token, may be empty
	// Ambient takes the credentials from the environment of the process: the
	// variables, web identity (IRSA), or the role of the container or machine.
	// AccessKey, SecretKey and Token are empty then, and only then.
	Ambient bool
	// PathStyle puts the bucket into the path on AWS and Google, too; everywhere
	// else it always is.
	PathStyle bool
	CA        []byte // PEM bundle to trust besides the system's, may be empty
	// AllowPrivate lets the dialer reach loopback, link-local and the clouds'
	// metadata addresses, which addresses given by a tenant may not. The
	// private networks, where stores inside the cluster are, are always allowed.
	AllowPrivate bool
	// DenyHosts are never dialed, whatever name leads there (the API server):
	// host:port, or host for all of its ports.
	DenyHosts []string
}

// Rewind puts body at its start, after checking that it has size bytes.
func Rewind(body io.Seeker, size int64) error {
	switch end, err := body.Seek(0, io.SeekEnd); {
	case err != nil:
		return err
	case end != size:
		return fmt.Errorf("the body has %d bytes, not %d", end, size)
	}
	_, err := body.Seek(0, io.SeekStart)
	return err
}

// Opener makes a Store from a Config. It does not contact the server.
type Opener func(Config) (Store, error)
