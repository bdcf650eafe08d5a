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
	{objectstore.ErrKey, v1alpha1.ReasonProtectionMissing}, // on AWS it comes as a denial, too
	{objectstore.ErrNotImplemented, v1alpha1.ReasonProtectionMissing},
	{objectstore.ErrBucketState, v1alpha1.ReasonProtectionMissing},
	{objectstore.ErrRegion, v1alpha1.ReasonWrongRegion},
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
	if p := deniedSetting(t, err); p != nil {
		return p
	}
	if errors.Is(err, objectstore.ErrChanged) {
		return &Problem{Reason: v1alpha1.ReasonBucketDrifted, Message: "Somebody else changed the lifecycle rules or tags of the bucket at the same time. They are looked at again soon."}
	}
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
