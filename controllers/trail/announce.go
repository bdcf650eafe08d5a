package trail

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Changes of a trail are recorded in the trail itself. A beginning is handed
// over once the receiver records, an end while it still does. What was handed
// over stands in the status (recordedGeneration, startLoggingTime,
// stopLoggingTime); should writing that fail, the event goes out again under
// the same ID, which the receiver records once.

// trailDetails is what an event of our own says of a trail.
type trailDetails struct {
	Name              string `json:"name"`
	Namespace         string `json:"namespace"`
	TrailARN          string `json:"trailARN"`
	Generation        int64  `json:"generation"`
	S3BucketName      string `json:"s3BucketName"`
	S3KeyPrefix       string `json:"s3KeyPrefix"`
	Endpoint          string `json:"endpoint,omitempty"`
	Suspended         bool   `json:"suspended"`
	LogFileValidation bool   `json:"logFileValidationEnabled"`

	// How records are kept.
	ManagementPolicy v1alpha1.ManagementPolicy `json:"managementPolicy,omitempty"`
	Encryption       *v1alpha1.Encryption      `json:"encryption,omitempty"`
	Versioning       v1alpha1.Versioning       `json:"versioning,omitempty"`
	ObjectLock       *v1alpha1.ObjectLock      `json:"objectLock,omitempty"`
	Lifecycle        *v1alpha1.Lifecycle       `json:"lifecycle,omitempty"`
	// AllowedShortening is what the life of records is shortened by.
	AllowedShortening string `json:"allowedShortening,omitempty"`
}

func (s *scope) ownEvent(name string) record.OwnEvent {
	t := s.trail
	id := fmt.Sprintf("%s/%d/%s", t.UID, t.Generation, name)
	switch name {
	case record.EventCreateTrail, record.EventDeleteTrail:
		id = fmt.Sprintf("%s/%s", t.UID, name) // once, whatever becomes of the spec
	}
	d := s.destination
	shortening := ""
	if s.shortening != nil && s.shortening.Allowed {
		shortening = s.shortening.Says
	}
	return record.OwnEvent{
		ID: id, Name: name, Time: s.Clock.Now().UTC(),
		Trails: []string{string(t.UID)}, TrailARN: s.seen.ARN,
		Details: record.MustJSON(trailDetails{
			Name: t.CloudTrailName(), Namespace: t.Namespace, TrailARN: s.seen.ARN, Generation: t.Generation,
			S3BucketName: t.Spec.Destination.Bucket, S3KeyPrefix: t.Prefix(), Endpoint: t.Spec.Destination.Endpoint,
			Suspended: t.Spec.Suspend, LogFileValidation: t.Spec.LogFileValidation.IsEnabled(),
			ManagementPolicy: d.ManagementPolicy, Encryption: d.Encryption, Versioning: d.Versioning,
			ObjectLock: d.ObjectLock, Lifecycle: d.Lifecycle, AllowedShortening: shortening,
		}),
	}
}

// hand hands events over, if there are any.
func (s *scope) hand(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	var list []record.OwnEvent
	for _, n := range names {
		list = append(list, s.ownEvent(n))
	}
	if err := s.Receiver.Record(ctx, list...); err != nil {
		return fmt.Errorf("%w to record %v: %w", errReceiver, names, err)
	}
	return nil
}

func (s *scope) now() *metav1.Time { return &metav1.Time{Time: s.seen.Now.UTC().Truncate(1e9)} }

// announceStop records StopLogging, and the UpdateTrail that asks for it, before
// the receiver is told to stop. As long as the receiver is away it is not told,
// and has not stopped either.
func (s *scope) announceStop(ctx context.Context) error {
	st := &s.trail.Status
	if !s.trail.Spec.Suspend || !st.IsLogging() {
		return nil
	}
	names := []string{record.EventStopLogging}
	if st.RecordedGeneration < s.trail.Generation {
		names = []string{record.EventUpdateTrail, record.EventStopLogging}
	}
	if err := s.hand(ctx, names...); err != nil {
		return err
	}
	st.RecordedGeneration, st.StopLoggingTime = s.trail.Generation, s.now()
	return nil
}

// announceStart records what has begun, once the receiver has loaded it.
func (s *scope) announceStart(ctx context.Context) error {
	if !s.seen.InForce() {
		return nil
	}
	st := &s.trail.Status
	var names []string
	switch {
	case st.RecordedGeneration == 0:
		names = append(names, record.EventCreateTrail)
	case st.RecordedGeneration < s.trail.Generation:
		names = append(names, record.EventUpdateTrail)
	}
	start := !s.trail.Spec.Suspend && !st.IsLogging()
	if start {
		names = append(names, record.EventStartLogging)
	}
	if err := s.hand(ctx, names...); err != nil {
		return err
	}
	st.RecordedGeneration = s.trail.Generation
	if start {
		st.StartLoggingTime, st.StopLoggingTime = s.now(), nil
	}
	return nil
}

// announceDelete records the end of a trail while the receiver still records it.
func (s *scope) announceDelete(ctx context.Context) error {
	if !s.trail.Status.IsLogging() {
		return s.hand(ctx, record.EventDeleteTrail)
	}
	if err := s.hand(ctx, record.EventStopLogging, record.EventDeleteTrail); err != nil {
		return err
	}
	s.trail.Status.StopLoggingTime = s.now()
	return nil
}
