package status

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// maxMessage is what the API server takes, in bytes.
const maxMessage = 32768

// state is a condition without its type and times.
type state struct {
	status          metav1.ConditionStatus
	reason, message string
}

func yes(reason, format string, args ...any) state {
	return state{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func no(reason, format string, args ...any) state {
	return state{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

func unknown(reason, message string) state {
	return state{metav1.ConditionUnknown, reason, message}
}

var pending = unknown(v1alpha1.ReasonPending, "An earlier step comes first.")

// conditions computes all conditions. old gives the times of those that stay.
func (o *Observation) conditions(old []metav1.Condition) []metav1.Condition {
	conditions := append([]metav1.Condition(nil), old...)
	set := func(name string, s state) {
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: name, Status: s.status, Reason: s.reason, Message: v1alpha1.Cut(s.message, maxMessage),
			ObservedGeneration: o.Trail.Generation,
			LastTransitionTime: transition(old, name, s.status, metav1.Time{Time: o.Now.UTC()}),
		})
	}
	bucket, receiving, delivering, digests := o.bucket(), o.receiving(), o.delivering(), o.digests()
	set(v1alpha1.ConditionReady, o.ready(bucket, receiving, delivering, digests))
	set(v1alpha1.ConditionBucketReady, bucket)
	set(v1alpha1.ConditionReceiving, receiving)
	set(v1alpha1.ConditionDelivering, delivering)
	set(v1alpha1.ConditionDigestsCurrent, digests)
	set(v1alpha1.ConditionNoLoss, o.noLoss())
	// These are there only while they are true, the last while it is asked for;
	// kstatus reads the first two.
	for name, s := range map[string]*state{
		v1alpha1.ConditionReconciling: o.reconciling(), v1alpha1.ConditionStalled: o.stalled(),
		v1alpha1.ConditionCertificateExpiring: o.expiring(), v1alpha1.ConditionValidated: o.validated(),
	} {
		if s == nil {
			meta.RemoveStatusCondition(&conditions, name)
		} else {
			set(name, *s)
		}
	}
	return conditions
}

// transition is the time of the condition's last change of status.
func transition(old []metav1.Condition, name string, status metav1.ConditionStatus, now metav1.Time) metav1.Time {
	if c := meta.FindStatusCondition(old, name); c != nil && c.Status == status {
		return c.LastTransitionTime
	}
	return now
}

func (o *Observation) deleting() bool { return !o.Trail.DeletionTimestamp.IsZero() }

func (o *Observation) stopped() bool { return o.Trail.Spec.Suspend || o.deleting() }

// withheld: the receiver does not get the trail as it is, and the bucket is not why.
func (o *Observation) withheld() bool {
	return o.Problem != nil &&
		slices.Contains([]string{
			v1alpha1.ReasonConfigurationTooLarge, v1alpha1.ReasonTooManyTrails,
			v1alpha1.ReasonEventSelectorNotFound, v1alpha1.ReasonEventSelectorInvalid,
		}, o.Problem.Reason)
}

func (o *Observation) bucket() state {
	switch {
	case o.Problem != nil && !o.withheld():
		return no(o.Problem.Reason, "%s", o.Problem.Message)
	case o.Claimed:
		return o.usable()
	}
	return pending
}

func (o *Observation) receiving() state {
	switch {
	case o.withheld():
		return no(o.Problem.Reason, "%s", o.Problem.Message)
	case o.Problem != nil && !o.Rendered:
		return pending
	case o.Expired != "":
		return no(v1alpha1.ReasonCertificateExpired, "%s", o.Expired)
	case o.Receiver == nil:
		return unknown(v1alpha1.ReasonReceiverUnreachable, "The status API of the receiver does not answer. Check that the receiver runs.")
	case !o.Rendered:
		return pending
	case !o.InForce() && o.Receiver.ConfigError != "":
		// What it says may name trails of other namespaces: it is in the manager's log.
		return no(v1alpha1.ReasonConfigurationRefused, "The receiver cannot load its configuration and goes on with the one before. The log of the manager says why: ask the installer of the operator.")
	case !o.InForce():
		return unknown(v1alpha1.ReasonConfigurationSent, "The receiver has not loaded this generation yet. That takes up to two minutes.")
	case o.stopped():
		return no(v1alpha1.ReasonSuspended, "The trail is suspended: nothing is recorded.")
	case o.Receiver.Spool.Full:
		return no(v1alpha1.ReasonSpoolFull, "The volume of the receiver is full. API servers keep events for a minute. Enlarge the volume.")
	case o.Receiver.Intake.Received == 0 && len(o.Receiver.Intake.Sources) == 0:
		return no(v1alpha1.ReasonNoAPIServer, "No API server has sent an event yet. Configure the audit webhook of each as `kubectl trail webhook-config --apiserver NAME` prints it.")
	}
	missing, asked := o.missing()
	if asked {
		return no(v1alpha1.ReasonPolicyTooSmall, "%s", missing)
	}
	if missing != "" {
		missing = " " + missing
	}
	return yes(v1alpha1.ReasonConfigurationInForce, "The receiver records this generation from position %d on.%s", o.entry().StartPosition, missing)
}

func (o *Observation) delivering() state {
	e := o.entry()
	switch {
	case !o.Rendered:
		return pending
	case o.Receiver == nil:
		return unknown(v1alpha1.ReasonReceiverUnreachable, "The status API of the receiver does not answer.")
	case e == nil:
		return pending
	case e.DeliveryError != nil:
		return o.failure(e.DeliveryError)
	case e.ClockSkewSeconds != 0:
		return no(v1alpha1.ReasonClockSkew, "%s", advice(o.Trail, v1alpha1.ReasonClockSkew, ""))
	case e.LastDelivery == nil:
		return unknown(v1alpha1.ReasonNothingToDeliver, "No log file was due so far.")
	}
	return yes(v1alpha1.ReasonDelivered, "Log files reach the bucket.")
}

// failure turns what the receiver met at the bucket into advice.
func (o *Observation) failure(f *receiverstatus.Failure) state {
	reason := known(f.Reason)
	return no(reason, "%s What was recorded is kept and delivered later.", advice(o.Trail, reason, plain(f.Code)))
}

func (o *Observation) digests() state {
	e := o.entry()
	switch {
	case !o.Trail.Spec.LogFileValidation.IsEnabled():
		return no(v1alpha1.ReasonValidationDisabled, "Digests are switched off by spec.logFileValidation.mode: changed and deleted log files go unnoticed.")
	case !o.Rendered:
		return pending
	case o.Receiver == nil:
		return unknown(v1alpha1.ReasonReceiverUnreachable, "The status API of the receiver does not answer.")
	case e == nil:
		return pending
	case e.DigestError != nil:
		return o.failure(e.DigestError)
	case e.LastDigest == nil || (e.Head != nil && e.Head.Final && !o.stopped()):
		if start := o.Trail.Status.StartLoggingTime; start != nil && !o.stopped() && o.Now.Sub(start.Time) > digestGrace {
			return no(v1alpha1.ReasonDigestLate, "There is no digest, and the first hour is long over. Check the receiver and its log.")
		}
		return unknown(v1alpha1.ReasonFirstDigestPending, "The first digest comes when its hour is over.")
	case !o.stopped() && o.Now.Sub(*e.LastDigest) > digestGrace:
		return no(v1alpha1.ReasonDigestLate, "The newest digest is more than an hour late. Check the receiver and its log.")
	}
	return yes(v1alpha1.ReasonDigestDelivered, "The digest of every hour that is over is in the bucket.")
}

func (o *Observation) ready(bucket, receiving, delivering, digests state) state {
	switch {
	case o.deleting():
		return no(v1alpha1.ReasonDeleting, "What was recorded is being delivered before the trail goes.")
	case o.Problem != nil:
		return no(o.Problem.Reason, "%s", o.Problem.Message)
	case o.Expired != "":
		return no(v1alpha1.ReasonCertificateExpired, "%s", o.Expired)
	case o.Trail.Spec.Suspend && o.Flushed():
		return yes(v1alpha1.ReasonSuspended, "The trail is suspended as its spec asks: nothing is recorded, and all that was is delivered.")
	case o.Trail.Spec.Suspend && o.InForce() && delivering.status != metav1.ConditionFalse:
		return no(v1alpha1.ReasonSuspending, "What was recorded is being delivered, then a final digest.")
	}
	if !o.Trail.Spec.LogFileValidation.IsEnabled() {
		digests = yes("", "")
	}
	if o.Trail.Spec.Suspend && o.InForce() {
		receiving = yes("", "")
	}
	for _, s := range []state{bucket, receiving, delivering, digests} {
		if s.status == metav1.ConditionFalse {
			return s
		}
	}
	// Delivery and digests take their time and are not waited for.
	for _, s := range []state{bucket, receiving} {
		if s.status != metav1.ConditionTrue {
			return s
		}
	}
	return yes(v1alpha1.ReasonRecording, "The trail records and delivers.")
}

func (o *Observation) reconciling() *state {
	var s state
	switch {
	case o.stalled() != nil:
		return nil
	case o.deleting():
		s = yes(v1alpha1.ReasonDeleting, "What was recorded is being delivered before the trail goes.")
	case o.Problem != nil:
		s = yes(v1alpha1.ReasonRetrying, "It is tried again.")
	case !o.InForce():
		s = yes(v1alpha1.ReasonConfigurationSent, "The receiver has not loaded this generation yet.")
	case o.Trail.Spec.Suspend && !o.Flushed():
		s = yes(v1alpha1.ReasonSuspending, "What was recorded is being delivered, then a final digest.")
	default:
		return nil
	}
	return &s
}

func (o *Observation) stalled() *state {
	if o.Problem == nil || !o.Problem.Stalled || o.deleting() {
		return nil
	}
	s := yes(o.Problem.Reason, "%s", o.Problem.Message)
	return &s
}

// expiring warns, and nothing more: everything works until then.
func (o *Observation) expiring() *state {
	if o.Expiring == "" {
		return nil
	}
	s := yes(v1alpha1.ReasonCertificateExpiring, "%s", o.Expiring)
	return &s
}

func equal(a, b v1alpha1.TrailStatus) bool { return equality.Semantic.DeepEqual(a, b) }
