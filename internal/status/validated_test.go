package status

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/validation"
)

func TestValidated(t *testing.T) {
	stampOf := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d).Truncate(time.Hour)} }
	last := func(result v1alpha1.ValidationResult, findings ...v1alpha1.FindingCount) *v1alpha1.LastValidation {
		return &v1alpha1.LastValidation{
			Result: result, From: stampOf(-24 * time.Hour), Until: stampOf(0), LogFiles: 1234, Digests: 24, Findings: findings,
		}
	}
	missing := v1alpha1.FindingCount{Kind: "LogFileMissing", Count: 1200}
	cut := v1alpha1.FindingCount{Kind: "ChainCut", Count: 1}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.Trail)
		want   string // empty: absent
		says   []string
	}{
		"not asked for": {func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Schedule = "" }, "", nil},
		"switched off":  {func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Mode = v1alpha1.ValidationDisabled }, "", nil},
		"by hand": {func(t *v1alpha1.Trail) {
			t.Spec.LogFileValidation.Schedule = ""
			t.Annotations = map[string]string{v1alpha1.AnnotationValidateNow: "1"}
		}, "Unknown NeverRun", nil},
		"no schedule":  {func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Schedule = "1 2 3 4 mon-99" }, "Unknown InvalidSchedule", []string{"day of the week"}},
		"never comes":  {func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Schedule = "0 0 30 2 *" }, "Unknown InvalidSchedule", []string{"never comes"}},
		"no digest":    {func(t *v1alpha1.Trail) { t.Status.Head = nil }, "Unknown NeverRun", []string{"no digest yet"}},
		"before first": {func(*v1alpha1.Trail) {}, "Unknown NeverRun", []string{"not ended yet"}},
		"valid": {
			func(t *v1alpha1.Trail) { t.Status.LastValidation = last(v1alpha1.ValidationValid) },
			"True LogFilesValid",
			[]string{"1,234 log files in 24 digests from 2026-01-01 03:00 UTC until 2026-01-02 03:00 UTC are valid."},
		},
		"expired and archived": {func(t *v1alpha1.Trail) {
			v := last(v1alpha1.ValidationValid)
			v.Expired, v.Archived = 12, 1
			t.Status.LastValidation = v
		}, "True LogFilesValid", []string{"Expired by lifecycle rules: 12 log files.", "Archived by lifecycle rules, and not read: 1 log file."}},
		"log files": {
			func(t *v1alpha1.Trail) { t.Status.LastValidation = last(v1alpha1.ValidationInvalid, missing) },
			"False LogFilesInvalid",
			[]string{"LogFileMissing 1,200", "kubectl trail validate-logs"},
		},
		"digests": {
			func(t *v1alpha1.Trail) { t.Status.LastValidation = last(v1alpha1.ValidationInvalid, cut, missing) },
			"False DigestsInvalid",
			[]string{"ChainCut 1, LogFileMissing 1,200"},
		},
		"a failure hides nothing": {
			func(t *v1alpha1.Trail) { t.Status.LastValidation = last(v1alpha1.ValidationFailed, missing) },
			"False LogFilesInvalid",
			[]string{"could not be carried out"},
		},
		"nor does suspending": {func(t *v1alpha1.Trail) {
			t.Spec.Suspend, t.Status.LastValidation = true, last(v1alpha1.ValidationInvalid, missing)
		}, "False LogFilesInvalid", nil},
		"suspended": {func(t *v1alpha1.Trail) {
			t.Spec.Suspend, t.Status.LastValidation = true, last(v1alpha1.ValidationValid)
		}, "Unknown Suspended", []string{"1,234 log files"}},
		"failed": {func(t *v1alpha1.Trail) {
			v := last(v1alpha1.ValidationFailed)
			v.Cause = string(validation.CauseAccessDenied)
			t.Status.LastValidation = v
		}, "Unknown ValidationFailed", []string{"s3:GetObject", "prefix a/b"}},
		"failed somehow": {func(t *v1alpha1.Trail) {
			v := last(v1alpha1.ValidationFailed)
			v.Cause = "PLANTED"
			t.Status.LastValidation = v
		}, "Unknown ValidationFailed", []string{"ask the installer"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := recording()
			o.Trail.Spec.LogFileValidation.Schedule = "30 4 * * *"
			o.Trail.Status.Head = &v1alpha1.DigestHead{Sequence: 1}
			o.Receiver.Trails[0].Head = nil
			tc.change(o.Trail)
			s := Of(o)
			c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionValidated)
			if tc.want == "" {
				if c != nil || s.LastValidation != nil || s.Validated != nil {
					t.Errorf("it is there: %v", c)
				}
				return
			}
			if c == nil || string(c.Status)+" "+c.Reason != tc.want {
				t.Fatalf("got %v, want %s", c, tc.want)
			}
			for _, text := range tc.says {
				if !strings.Contains(c.Message, text) {
					t.Errorf("%q does not say %q", c.Message, text)
				}
			}
			if strings.Contains(c.Message, "PLANTED") {
				t.Errorf("it quotes: %s", c.Message)
			}
			if ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); !o.Trail.Spec.Suspend && ready.Status != metav1.ConditionTrue {
				t.Errorf("Ready is %v", ready)
			}
		})
	}
}

// TestCausesHaveAdvice: whatever keeps a validation from its end has a sentence
// of its own, but for what only a log can tell.
func TestCausesHaveAdvice(t *testing.T) {
	o := recording()
	rest := o.failedBecause("")
	for _, c := range []validation.Cause{
		validation.CauseNoBucket, validation.CauseAccessDenied, validation.CauseBadCredentials, validation.CauseCertificate, validation.CauseUnreachable,
		validation.CauseAddress, validation.CauseRegion, validation.CauseClockSkew, validation.CauseThrottled, validation.CauseArchived,
		validation.CauseTooLarge, validation.CauseDeadline, validation.CauseNotStarted, validation.CauseImage, validation.CauseMemory, validation.CauseGone,
		validation.CauseForbidden, validation.CauseCredentials, validation.CauseNoImage,
	} {
		if o.failedBecause(string(c)) == rest {
			t.Errorf("there is no advice for %s", c)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
