package upload

import (
	"context"
	"errors"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Failure describes err for the status API: the first cause that is known, in
// words of ours, since a server's words may quote what was sent.
func Failure(err error, since time.Time) *receiverstatus.Failure {
	f := &receiverstatus.Failure{
		Since: since.UTC(), Code: objectstore.Code(err), Reason: receiverstatus.ReasonOther,
		Message: "The object store answered with an error.",
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			f.Reason, f.Message = c.reason, c.message
			if errors.Is(err, ErrEncryptionIgnored) || errors.Is(err, ErrRetentionIgnored) {
				f.Code = c.reason // the server had nothing against it
			}
			break
		}
	}
	return f
}

var causes = []struct {
	err             error
	reason, message string
}{
	{ErrEncryptionIgnored, receiverstatus.ReasonEncryptionIgnored, "The object store ignores the encryption that the trail asks for, so no more is delivered. " +
		"Encrypt or delete the newest object of the trail when the store has learned it, or ask for no encryption."},
	{ErrRetentionIgnored, receiverstatus.ReasonRetentionIgnored, "The object store ignores the retention that the trail asks for, or the credentials lack s3:GetObjectRetention, " +
		"so no more is delivered. Retain or delete the newest object of the trail when that is mended, or ask for no retention."},
	{objectstore.ErrNotImplemented, receiverstatus.ReasonProtection, "The object store does not implement the encryption or the retention that the trail asks for."},
	{objectstore.ErrKey, receiverstatus.ReasonProtection, "The key that the trail names for encryption does not exist, is disabled, or may not be used with these credentials."},
	{objectstore.ErrBucketState, receiverstatus.ReasonProtection, "The bucket has no object lock, which the retention that the trail asks for needs."},
	{objectstore.ErrRegion, receiverstatus.ReasonOther, "The bucket is in another region than the trail says."},
	{ErrConflict, receiverstatus.ReasonOther, "The object store keeps something else than what it is sent, or somebody else writes where only this trail should."},
	{ErrNotStored, receiverstatus.ReasonOther, "The object store confirmed an object that it does not have."},
	{ErrVolume, receiverstatus.ReasonOther, "A file on the receiver's volume cannot be read."},
	{objectstore.ErrNoBucket, receiverstatus.ReasonNoBucket, "The bucket does not exist."},
	{objectstore.ErrBadCredentials, receiverstatus.ReasonBadCredentials, "The access key or the secret key was not accepted."},
	{objectstore.ErrAccessDenied, receiverstatus.ReasonAccessDenied, "The credentials may not write to this bucket and prefix."},
	{objectstore.ErrCertificate, receiverstatus.ReasonCertificate, "The certificate of the endpoint is expired or not trusted."},
	{objectstore.ErrForbiddenAddress, receiverstatus.ReasonAddress, "The address of the endpoint is not allowed for tenants."},
	{objectstore.ErrClockSkew, receiverstatus.ReasonClockSkew, "The clock of the receiver and that of the object store differ by more than 5 minutes."},
	{objectstore.ErrThrottled, receiverstatus.ReasonThrottled, "The object store asks to slow down."},
	{context.DeadlineExceeded, receiverstatus.ReasonUnreachable, "The endpoint did not take or answer a request in time."},
	{objectstore.ErrUnreachable, receiverstatus.ReasonUnreachable, "The endpoint cannot be reached."},
}

// Backoff returns how long to wait after the n-th failure in a row (from 1).
func Backoff(n int) time.Duration {
	const first, most = time.Second, 2 * time.Minute
	d := first
	for ; n > 1 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}
