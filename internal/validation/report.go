package validation

import (
	"errors"
	"slices"
	"time"
)

// MaxReport bounds the JSON of a Report, in bytes: a kubelet keeps so much of a
// termination message.
const MaxReport = 4096

// Report is the answer: either what was found or, with Cause, why there is none.
type Report struct {
	Version int `json:"version"`
	// Cause is one of the Cause constants; empty when the validation was carried
	// out. Nothing else is set otherwise.
	Cause Cause `json:"cause,omitempty"`

	Valid bool `json:"valid,omitempty"`
	// From and Until are what the valid digests cover.
	From     time.Time `json:"from,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Digests  Count     `json:"digests,omitzero"`
	LogFiles Count     `json:"logFiles,omitzero"`
	// Findings count them by kind, in the order of their names.
	Findings []Finding `json:"findings,omitempty"`
}

// Count tells how many objects are valid, or cannot be validated for a good reason.
type Count struct {
	Total    int64 `json:"total"`
	Valid    int64 `json:"valid"`
	Expired  int64 `json:"expired,omitempty"`
	Archived int64 `json:"archived,omitempty"`
}

// Finding is the number of findings of one kind.
type Finding struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
}

// Cause is why a validation was not carried out.
type Cause string

// Causes that the pod names.
const (
	CauseNoBucket       Cause = "BucketNotFound"
	CauseAccessDenied   Cause = "AccessDenied"
	CauseBadCredentials Cause = "InvalidCredentials"
	CauseCertificate    Cause = "CertificateNotTrusted"
	CauseUnreachable    Cause = "EndpointUnreachable"
	CauseAddress        Cause = "AddressNotAllowed"
	CauseRegion         Cause = "WrongRegion"
	CauseClockSkew      Cause = "ClockSkew"
	CauseThrottled      Cause = "Throttled"
	CauseArchived       Cause = "DigestArchived"
	CauseTooLarge       Cause = "TooLarge"
	CauseInput          Cause = "InputInvalid"
	CauseOther          Cause = "Other"
)

// Causes that the manager finds.
const (
	CauseDeadline    Cause = "DeadlineExceeded"
	CauseNotStarted  Cause = "PodNotStarted"
	CauseImage       Cause = "ImageNotPulled"
	CauseMemory      Cause = "OutOfMemory"
	CauseGone        Cause = "PodGone"
	CauseReport      Cause = "ReportInvalid"
	CauseForbidden   Cause = "NotAllowed"
	CauseCredentials Cause = "CredentialsNotReadable"
	CauseNoImage     Cause = "NoImage"
)

// causes are those that a report may have.
var causes = []Cause{
	CauseNoBucket, CauseAccessDenied, CauseBadCredentials, CauseCertificate, CauseUnreachable, CauseAddress, CauseRegion,
	CauseClockSkew, CauseThrottled, CauseArchived, CauseTooLarge, CauseInput, CauseOther,
}

// Kinds of findings that a report may have: those of verify.
var (
	// LogFileKinds speak of log files.
	LogFileKinds = []string{
		"LogFileDuplicate", "LogFileElsewhere", "LogFileInvalid", "LogFileMissing", "LogFileUnlisted", "LogFileUnreadable",
	}
	// DigestKinds speak of digests, of their chain, and of keys.
	DigestKinds = []string{
		"ChainBroken", "ChainCut", "DigestForeign", "DigestInvalid", "DigestMissing", "DigestMoved", "DigestSignature", "HeadMismatch",
		"KeyInvalid", "KeyRetired", "KeyUnknown", "KeyUntrusted",
	}
)

// maxCount bounds every number of a report.
const maxCount = 1_000_000_000

// ParseReport reads a report strictly. The pod has read a bucket in which
// anybody may have written anything, so what it says may be whatever such a
// bucket has made of it: no text of it is taken over, and no error quotes it.
func ParseReport(raw []byte) (Report, error) {
	var r Report
	if err := strict(raw, MaxReport, &r); err != nil {
		return Report{}, err
	}
	if err := r.check(); err != nil {
		return Report{}, err
	}
	return r, nil
}

func (r *Report) check() error {
	switch {
	case r.Version != Version:
		return errors.New("it is of another version")
	case r.Cause != "":
		if !slices.Contains(causes, r.Cause) || r.Valid || len(r.Findings) > 0 || r.Digests != (Count{}) || r.LogFiles != (Count{}) {
			return errors.New("it does not say what kept the validation from its end")
		}
		return nil
	case !r.Digests.sane() || !r.LogFiles.sane():
		return errors.New("its counts contradict each other")
	case r.Valid != (len(r.Findings) == 0):
		return errors.New("its answer and its findings contradict each other")
	case r.Valid && (r.Digests.Valid == 0 || r.Digests.Valid != r.Digests.Total ||
		r.LogFiles.Valid+r.LogFiles.Expired+r.LogFiles.Archived != r.LogFiles.Total):
		return errors.New("its answer and its counts contradict each other")
	case r.Digests.Valid > 0 && (!believable(r.From) || !believable(r.Until) || !r.Until.After(r.From)):
		return errors.New("it covers no time")
	}
	last := ""
	for _, f := range r.Findings {
		if f.Kind <= last || f.Count < 1 || f.Count > maxCount || !slices.Contains(LogFileKinds, f.Kind) && !slices.Contains(DigestKinds, f.Kind) {
			return errors.New("its findings are none")
		}
		last = f.Kind
	}
	return nil
}

func (c Count) sane() bool {
	for _, n := range []int64{c.Total, c.Valid, c.Expired, c.Archived} {
		if n < 0 || n > maxCount {
			return false
		}
	}
	return c.Valid+c.Expired+c.Archived <= c.Total
}

func believable(t time.Time) bool { return t.Year() >= 2000 && t.Year() < 10_000 }
