package minio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// errAnswer says that something else than an S3 server answers, or a broken one.
var errAnswer = errors.New("the answer is not that of an S3 server")

// causes are the S3 error codes whose meaning the HTTP status does not give.
var causes = map[string]error{
	"NoSuchKey":                          objectstore.ErrNotExist,
	"NoSuchBucket":                       objectstore.ErrNoBucket,
	"PreconditionFailed":                 objectstore.ErrExists,
	"ConditionalRequestConflict":         objectstore.ErrExists,
	"BucketAlreadyExists":                objectstore.ErrExists,
	"AccessDenied":                       objectstore.ErrAccessDenied,
	"InvalidAccessKeyId":                 objectstore.ErrBadCredentials,
	"SignatureDoesNotMatch":              objectstore.ErrBadCredentials,
	"InvalidToken":                       objectstore.ErrBadCredentials,
	"InvalidTokenId":                     objectstore.ErrBadCredentials,
	"InvalidSecurity":                    objectstore.ErrBadCredentials,
	"ExpiredToken":                       objectstore.ErrBadCredentials,
	"ExpiredTokenException":              objectstore.ErrBadCredentials,
	"TokenRefreshRequired":               objectstore.ErrBadCredentials,
	"RequestTimeTooSkewed":               objectstore.ErrClockSkew,
	"SlowDown":                           objectstore.ErrThrottled,
	"SlowDownRead":                       objectstore.ErrThrottled,
	"SlowDownWrite":                      objectstore.ErrThrottled,
	"Throttling":                         objectstore.ErrThrottled,
	"ThrottlingException":                objectstore.ErrThrottled,
	"RequestLimitExceeded":               objectstore.ErrThrottled,
	"BadDigest":                          objectstore.ErrBadDigest,
	"IncompleteBody":                     objectstore.ErrBadDigest,
	"XAmzContentSHA256Mismatch":          objectstore.ErrBadDigest,
	"XAmzContentChecksumMismatch":        objectstore.ErrBadDigest,
	"NotImplemented":                     objectstore.ErrNotImplemented,
	"APINotSupported":                    objectstore.ErrNotImplemented,
	"AuthorizationHeaderMalformed":       objectstore.ErrRegion,
	"PermanentRedirect":                  objectstore.ErrRegion,
	"IllegalLocationConstraintException": objectstore.ErrRegion,
	"InvalidObjectState":                 objectstore.ErrArchived,
	"InvalidBucketState":                 objectstore.ErrBucketState,
}

// statuses give the meaning of an answer without a code that is known.
var statuses = map[int]error{
	http.StatusUnauthorized:       objectstore.ErrBadCredentials,
	http.StatusForbidden:          objectstore.ErrAccessDenied,
	http.StatusPreconditionFailed: objectstore.ErrExists,
	http.StatusTooManyRequests:    objectstore.ErrThrottled,
	http.StatusServiceUnavailable: objectstore.ErrThrottled,
	http.StatusNotImplemented:     objectstore.ErrNotImplemented,
	http.StatusMethodNotAllowed:   objectstore.ErrNotImplemented,
	http.StatusMovedPermanently:   objectstore.ErrRegion,
}

// wellFormedCode is what an error code may look like: it is shown to people.
var wellFormedCode = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// classify turns an error of minio-go into one of the contract. Nothing of the
// server's text, and nothing of the request, stays in it.
func classify(ctx context.Context, op objectstore.Op, err error) error {
	if err == nil {
		return nil
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode != 0 {
		return classifyAnswer(op, answer)
	}
	return &objectstore.Error{Op: op, Err: connectionError(ctx, err)}
}

func classifyAnswer(op objectstore.Op, answer minio.ErrorResponse) error {
	e := &objectstore.Error{Op: op, Status: answer.StatusCode}
	code, isKey := keyCode(answer.Code)
	if wellFormedCode.MatchString(code) {
		e.Code = code
	}
	if isKey {
		e.Err = objectstore.ErrKey
		return e
	}
	if answer.StatusCode == http.StatusNotFound && (op == objectstore.OpCheckBucket || op == objectstore.OpList) {
		e.Err = objectstore.ErrNoBucket
		return e
	}
	if e.Err = causes[e.Code]; e.Err == nil {
		e.Err = statuses[e.Status]
	}
	if e.Err == nil {
		e.Err = fmt.Errorf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return e
}

// keyCode returns the code of an error about an encryption key, which has a
// prefix, as one word.
func keyCode(code string) (word string, isKey bool) {
	for _, prefix := range []string{"KMS.", "kms:"} {
		if rest, ok := strings.CutPrefix(code, prefix); ok {
			return "KMS" + rest, true
		}
	}
	return code, false
}

// connectionError tells why there was no answer of the server, or none that
// can be read.
func connectionError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		if errors.Is(ended, context.DeadlineExceeded) {
			return fmt.Errorf("%w: it did not answer in time (%w)", objectstore.ErrUnreachable, ended)
		}
		return ended
	}
	var (
		without   *ambientError
		noHost    *net.DNSError
		timeout   net.Error
		notTLS    tls.RecordHeaderError
		remote    *net.OpError
		transport *url.Error
	)
	switch {
	case errors.As(err, &without):
		return without
	case errors.Is(err, objectstore.ErrForbiddenAddress):
		return objectstore.ErrForbiddenAddress
	case certificateError(err) != nil:
		return certificateError(err)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fmt.Errorf("%w: it refused the TLS handshake", objectstore.ErrUnreachable)
	case errors.As(err, &notTLS), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%w: it does not speak TLS, which https needs", objectstore.ErrUnreachable)
	case errors.As(err, &noHost):
		return fmt.Errorf("%w: its host name cannot be resolved", objectstore.ErrUnreachable)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: it refused the connection", objectstore.ErrUnreachable)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: it did not answer in time", objectstore.ErrUnreachable)
	case errors.Is(err, errTooLarge):
		return errAnswer
	case errors.As(err, &transport), errors.As(err, &timeout),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, http.ErrBodyReadAfterClose):
		return fmt.Errorf("%w: the connection was cut", objectstore.ErrUnreachable)
	}
	return errAnswer
}

// certificateError says in our own words what is wrong with a certificate:
// the library's quote what stands in it.
func certificateError(err error) error {
	var (
		verification *tls.CertificateVerificationError
		unknown      x509.UnknownAuthorityError
		host         x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: it is signed by an authority that is not trusted", objectstore.ErrCertificate)
	case errors.As(err, &host):
		return fmt.Errorf("%w: it is made for another host name", objectstore.ErrCertificate)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: it has expired or is not valid yet", objectstore.ErrCertificate)
	case errors.As(err, &invalid), errors.As(err, &verification):
		return objectstore.ErrCertificate
	}
	return nil
}
