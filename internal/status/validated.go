package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cron"
	"github.com/trail-operator/trail-operator/internal/validation"
)

// validated says what the last validation has found; nil where none is asked
// for. Ready does not depend on it: a trail whose files were tampered with goes
// on recording, and a Ready that stays False would hide that it does not.
func (o *Observation) validated() *state {
	t := o.Trail
	if !t.IsValidated() {
		return nil
	}
	last := t.Status.LastValidation
	var s state
	switch {
	case last != nil && len(last.Findings) > 0: // also when a later one failed, or the trail is suspended
		s = found(last)
	case t.Spec.Suspend:
		s = unknown(v1alpha1.ReasonSuspended, "A suspended trail is not validated."+lastTime(last))
	case scheduleError(t) != "":
		s = unknown(v1alpha1.ReasonInvalidSchedule, scheduleError(t))
	case last == nil && t.Status.Head == nil:
		s = unknown(v1alpha1.ReasonNeverRun, "There is no digest yet to validate. The first comes when its hour is over.")
	case last == nil:
		s = unknown(v1alpha1.ReasonNeverRun, "The first validation has not ended yet.")
	case last.Result == v1alpha1.ValidationFailed:
		s = unknown(v1alpha1.ReasonValidationFailed, "The last validation could not be carried out: "+o.failedBecause(last.Cause))
	default:
		s = yes(v1alpha1.ReasonLogFilesValid, "%s", counts(last)+" are valid."+left(last))
	}
	return &s
}

// scheduleError says what is wrong with the schedule. It does not stop a trail.
func scheduleError(t *v1alpha1.Trail) string {
	schedule := t.Spec.LogFileValidation.Schedule
	if schedule == "" {
		return ""
	}
	s, err := cron.Parse(schedule)
	if err != nil {
		return fmt.Sprintf("The field spec.logFileValidation.schedule is no schedule: %v.", err)
	}
	// From a time that is always the same: the answer is, too.
	if s.Next(time.Unix(0, 0)).IsZero() {
		return "The field spec.logFileValidation.schedule names a day that never comes."
	}
	return ""
}

// counts is the subject of a sentence: what is valid, and until when.
func counts(v *v1alpha1.LastValidation) string {
	s := fmt.Sprintf("%s in %s", several(v.LogFiles, "log file"), several(v.Digests, "digest"))
	if v.From != nil {
		s += " from " + clock(v.From)
	}
	if v.Until != nil {
		s += " until " + clock(v.Until)
	}
	return s
}

// left says what could not be read for a good reason.
func left(v *v1alpha1.LastValidation) string {
	s := ""
	if v.Expired > 0 {
		s += " Expired by lifecycle rules: " + several(v.Expired, "log file") + "."
	}
	if v.Archived > 0 {
		s += " Archived by lifecycle rules, and not read: " + several(v.Archived, "log file") + "."
	}
	return s
}

// found says what is wrong. Kinds are names of ours, never a text of the bucket.
func found(v *v1alpha1.LastValidation) state {
	reason := v1alpha1.ReasonLogFilesInvalid
	var kinds []string
	for _, f := range v.Findings {
		if slices.Contains(validation.DigestKinds, f.Kind) {
			reason = v1alpha1.ReasonDigestsInvalid
		}
		kinds = append(kinds, f.Kind+" "+number(f.Count))
	}
	s := fmt.Sprintf("What was delivered is not what lies in the bucket: %s. Keep the bucket as it is, and run `kubectl trail validate-logs`, which names each object. "+
		"%s are valid.%s", strings.Join(kinds, ", "), counts(v), left(v))
	if v.Result == v1alpha1.ValidationFailed {
		s += " The last validation since then could not be carried out."
	}
	return no(reason, "%s", s)
}

func lastTime(v *v1alpha1.LastValidation) string {
	if v == nil || v.Until == nil {
		return ""
	}
	return " Before, " + counts(v) + " were valid."
}

// failedBecause says what to do.
func (o *Observation) failedBecause(cause string) string {
	t := o.Trail
	secret := t.Spec.LogFileValidation.CredentialsSecretRef
	reader := whose(t)
	if secret != nil {
		reader = "the credentials in the Secret " + secret.Name
	}
	switch c := validation.Cause(cause); c {
	case validation.CauseAccessDenied:
		return fmt.Sprintf("the bucket %s may not be read with %s. Allow s3:ListBucket on it, and s3:GetObject below the prefix %s.", t.Spec.Destination.Bucket, reader, t.Prefix())
	case validation.CauseBadCredentials:
		return fmt.Sprintf("the server %s does not know %s.", server(t), reader)
	case validation.CauseNoBucket, validation.CauseCertificate, validation.CauseUnreachable, validation.CauseAddress, validation.CauseRegion,
		validation.CauseClockSkew:
		return advice(t, string(c), "")
	case validation.CauseThrottled:
		return fmt.Sprintf("the server %s asks to slow down.", server(t))
	case validation.CauseCredentials:
		name := t.Spec.Destination.CredentialsSecret()
		if secret != nil {
			name = secret.Name
		}
		return fmt.Sprintf("the Secret %s is missing, lacks %s or %s, or may not be read. `kubectl trail grant --secret %s` prints what allows it.", name,
			v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey, name)
	case validation.CauseArchived:
		return "a digest is archived. Restore it; digests should never be moved to another storage class."
	case validation.CauseTooLarge:
		return "there is too much for one validation. Set spec.logFileValidation.lookbackDays to less."
	case validation.CauseMemory:
		return "its pod had too little memory. Set spec.logFileValidation.lookbackDays to less, or have the installer raise validation.resources in the configuration of the manager."
	case validation.CauseDeadline:
		return "it did not end in time. Set spec.logFileValidation.lookbackDays to less, or have the installer raise validation.deadlineSeconds in the configuration of the manager."
	case validation.CauseNotStarted:
		return "its pod did not start in time. Ask the installer to look at the pods of the Job in the operator's namespace."
	case validation.CauseImage:
		return "the image of its pod cannot be pulled. Ask the installer of the operator."
	case validation.CauseNoImage:
		return "the operator does not know the image of the receiver. Ask the installer to set validation.image in the configuration of the manager."
	case validation.CauseGone:
		return "its pod was removed before it was done. It is tried again."
	case validation.CauseForbidden:
		return "its Job cannot be made in the operator's namespace: its quota, its policies or the operator's rights do not allow it. The log of the manager says more: ask the installer."
	}
	return "the log of its pod in the operator's namespace says why, while it is there: ask the installer of the operator."
}

// several counts things: "1 digest", "1,234 log files".
func several(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// number writes n with a comma before every three digits.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func clock(t *metav1.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
