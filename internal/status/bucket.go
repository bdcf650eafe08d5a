package status

import (
	"errors"
	"fmt"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// deniedSetting names the permission that a call for a setting lacks; nil for
// all other errors.
func deniedSetting(t *v1alpha1.Trail, err error) *Problem {
	var e *objectstore.Error
	if !errors.Is(err, objectstore.ErrAccessDenied) || !errors.As(err, &e) || e.Op.Permission() == "" {
		return nil
	}
	advice := "or set the bucket up yourself and managementPolicy to Observe"
	if !t.Spec.Destination.IsManaged() {
		advice = "without which nobody can tell whether the bucket protects as the spec asks"
	}
	return &Problem{
		Reason:  v1alpha1.ReasonAccessDenied,
		Message: fmt.Sprintf("The call %q was denied. Allow %s on the bucket %s for %s, %s.", e.Op, e.Op.Permission(), t.Spec.Destination.Bucket, whose(t), advice),
	}
}

// NoCredentials is the Problem of a Trail that names no Secret where it must.
func NoCredentials(t *v1alpha1.Trail) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonNoCredentials, Stalled: true,
		Message: fmt.Sprintf("This trail names no Secret, and the operator's own identity is not for it. Name one in spec.destination.credentialsSecretRef, "+
			"or ask the installer to map the namespace %s to this endpoint, region, bucket and prefix in tenantDestinations; spec.destination.ca must be empty then.", t.Namespace),
	}
}

// NoBucketObserved is the Problem of a missing bucket that is not ours to create.
func NoBucketObserved(t *v1alpha1.Trail) *Problem {
	return &Problem{
		Reason:  v1alpha1.ReasonBucketNotFound,
		Message: fmt.Sprintf("The bucket %s does not exist, and this trail may only observe it. Create it.", t.Spec.Destination.Bucket),
	}
}

// BucketTaken is the Problem of a bucket's name that somebody else has.
func BucketTaken(t *v1alpha1.Trail) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonConflict, Stalled: true,
		Message: fmt.Sprintf("The bucket %s belongs to somebody else on the server %s. Create this trail with another bucket.", t.Spec.Destination.Bucket, server(t)),
	}
}

// ProtectionMissing is the Problem of a bucket without protections, named by
// their fields, that the spec asks for.
func ProtectionMissing(t *v1alpha1.Trail, features ...string) *Problem {
	fields := make([]string, len(features))
	lock := ""
	for i, f := range features {
		fields[i] = "spec.destination." + f
		if f == "objectLock" {
			lock = " A bucket must be created with object lock to have it: delete it if it is empty, or use another one."
		}
	}
	return &Problem{
		Reason: v1alpha1.ReasonProtectionMissing,
		Message: fmt.Sprintf("The bucket %s is without what %s asks for: the server does not have it, or the bucket was not set up so.%s A trail does not begin to deliver without it.",
			t.Spec.Destination.Bucket, strings.Join(fields, " and "), lock),
	}
}

// Ignored is the Problem of a server that took an object and did not protect it.
func Ignored(t *v1alpha1.Trail, reason string) *Problem {
	return &Problem{Reason: reason, Message: advice(t, reason, "")}
}

// Shortening is the Problem of a spec that shortens the life of recorded data
// without being allowed to.
func Shortening(says, annotation string) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonShorteningNotAllowed, Stalled: true,
		Message: fmt.Sprintf("The spec shortens how long recorded data is kept: %s. The old values stay in force. To allow it, set this annotation on the trail: %s: %q.",
			says, v1alpha1.AnnotationAllowShortening, annotation),
	}
}

// usable is the condition BucketReady of a bucket that can be used.
func (o *Observation) usable() state {
	claimed := fmt.Sprintf("The bucket %s can be used, and the prefix %s in it belongs to this trail.", o.Trail.Spec.Destination.Bucket, o.Trail.Prefix())
	b := o.Bucket
	if b == nil || len(b.Unsupported)+len(b.Drift) == 0 {
		return yes(v1alpha1.ReasonPrefixClaimed, "%s", claimed)
	}
	if len(b.Unsupported) > 0 {
		claimed += " The server does not have, or refused, what the spec asks for with " + strings.Join(b.Unsupported, ", ") + "; it is left out."
	}
	if len(b.Drift) == 0 {
		return yes(v1alpha1.ReasonUnsupported, "%s", claimed)
	}
	claimed += " It differs from the spec: " + strings.Join(b.Drift, " ")
	if len(b.Unsupported) > 0 {
		return yes(v1alpha1.ReasonUnsupported, "%s", claimed)
	}
	return yes(v1alpha1.ReasonBucketDrifted, "%s", claimed)
}
