// Package status computes the status of a trail from what was observed. It is
// pure: the same observation always gives the same status, and conditions of
// an earlier reconciliation decide nothing.
package status

import (
	"errors"
	"fmt"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Problem is why a step towards a recording trail could not be done.
type Problem struct {
	Reason  string
	Message string
	// Stalled: trying again does not help, the user must change something.
	Stalled bool
}

func (p *Problem) Error() string { return p.Reason + ": " + p.Message }

// Invalid is the Problem of a spec that cannot work.
func Invalid(format string, args ...any) *Problem {
	return &Problem{Reason: v1alpha1.ReasonInvalidSpec, Message: fmt.Sprintf(format, args...), Stalled: true}
}

// storeReasons maps what an object store says to reasons.
var storeReasons = []struct {
	err    error
	reason string
}{
	{objectstore.ErrNoBucket, v1alpha1.ReasonBucketNotFound},
	{objectstore.ErrAccessDenied, v1alpha1.ReasonAccessDenied},
	{objectstore.ErrBadCredentials, v1alpha1.ReasonInvalidCredentials},
	{objectstore.ErrCertificate, v1alpha1.ReasonCertificateNotTrusted},
	{objectstore.ErrForbiddenAddress, v1alpha1.ReasonAddressNotAllowed},
	{objectstore.ErrClockSkew, v1alpha1.ReasonClockSkew},
	{objectstore.ErrThrottled, v1alpha1.ReasonThrottled},
	{objectstore.ErrUnreachable, v1alpha1.ReasonEndpointUnreachable},
}

// StoreProblem is the Problem of a trail whose bucket answered with err.
func StoreProblem(t *v1alpha1.Trail, err error) *Problem {
	for _, s := range storeReasons {
		if errors.Is(err, s.err) {
			return &Problem{Reason: s.reason, Message: advice(t, s.reason, "")}
		}
	}
	code := ""
	var e *objectstore.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	return &Problem{Reason: v1alpha1.ReasonDeliveryFailed, Message: advice(t, v1alpha1.ReasonDeliveryFailed, code)}
}

// advice says what to do about a failure of the trail's destination. code is
// an S3 error code, or empty.
func advice(t *v1alpha1.Trail, reason, code string) string {
	d := t.Spec.Destination
	secret := d.CredentialsSecret()
	server := d.Endpoint
	if server == "" {
		server = "of AWS in " + d.RegionOrDefault()
	}
	switch reason {
	case v1alpha1.ReasonBucketNotFound:
		return fmt.Sprintf("The bucket %s does not exist and could not be created. Create it, or allow the credentials in the Secret %s to.", d.Bucket, secret)
	case v1alpha1.ReasonAccessDenied:
		return fmt.Sprintf("The credentials in the Secret %s may not use the bucket %s. Allow them s3:ListBucket on it, and s3:PutObject and s3:GetObject below the prefix %s.", secret, d.Bucket, t.Prefix())
	case v1alpha1.ReasonInvalidCredentials:
		return fmt.Sprintf("The server %s does not know the credentials in the Secret %s. Correct %s and %s in it.", server, secret,
			v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey)
	case v1alpha1.ReasonCertificateNotTrusted:
		return fmt.Sprintf("The certificate of the server %s has expired, is for another name, or comes from a CA that is not trusted. Renew it, or put its CA into spec.destination.ca.", server)
	case v1alpha1.ReasonAddressNotAllowed:
		return fmt.Sprintf("The server %s is at an address that trails may not use: loopback, link-local or the API server. Use another endpoint, or ask the installer to add it to allowedAddresses.", server)
	case v1alpha1.ReasonClockSkew:
		return fmt.Sprintf("The clock of the server %s differs from ours by more than five minutes. Set the one that is wrong.", server)
	case v1alpha1.ReasonThrottled:
		return fmt.Sprintf("The server %s asks to slow down. Deliveries go on more slowly.", server)
	case v1alpha1.ReasonEndpointUnreachable:
		return fmt.Sprintf("The server %s does not answer. Check spec.destination.endpoint, the server and the network between.", server)
	}
	if code != "" {
		return fmt.Sprintf("The server %s refused with the S3 error code %s.", server, code)
	}
	return fmt.Sprintf("The server %s gave an answer that is not understood. Check that it is an S3 server.", server)
}
