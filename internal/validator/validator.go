// Package validator validates what a trail has delivered, as the pod that the
// manager starts for it: it reads a file, then the bucket, and writes its
// termination message. It needs neither the API server nor a volume.
package validator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
	"github.com/trail-operator/trail-operator/internal/verify"
)

// workers read at the same time: what they hold has to fit into the memory of
// the pod.
const workers = 4

// Options of Run.
type Options struct {
	// Input is the file that the manager has written.
	Input string
	// Message is the file that becomes the termination message.
	Message string
	Open    objectstore.Opener
	Clock   clock.PassiveClock
	// Out is told what was found, one line each: it is the log of the pod.
	Out io.Writer
}

// Run validates and writes the message. Its error says why there is no answer;
// that a trail is not valid is an answer.
func Run(ctx context.Context, o Options) error {
	report, err := run(ctx, o)
	if err != nil {
		report = validation.Report{Cause: causeOf(err)}
	}
	report.Version = validation.Version
	if writeErr := os.WriteFile(o.Message, record.MustJSON(report), 0o600); writeErr != nil {
		return errors.Join(err, fmt.Errorf("writing the termination message: %w", writeErr))
	}
	return err
}

// errInput: the manager has written something else.
var errInput = errors.New("the input cannot be used")

func run(ctx context.Context, o Options) (validation.Report, error) {
	in, err := read(o.Input)
	if err != nil {
		return validation.Report{}, err
	}
	to := in.Destination
	store, err := o.Open(objectstore.Config{
		Endpoint: to.Endpoint, Region: to.Region, Bucket: to.Bucket, PathStyle: to.PathStyle,
		AccessKey: to.AccessKeyID, SecretKey: to.SecretAccessKey, Token: to.SessionToken, Ambient: to.Ambient,
		CA: to.CA, AllowPrivate: to.AllowPrivate, DenyHosts: to.DenyHosts,
	})
	if err != nil {
		return validation.Report{}, fmt.Errorf("%w: %w", errInput, err)
	}
	r, err := verify.Run(ctx, verify.Options{
		Reader: store, Layout: in.Layout, Trail: in.Trail, Bucket: to.Bucket,
		Start: in.From, Keys: in.Keys, Heads: in.Heads, Clock: o.Clock, Workers: workers,
	})
	if err != nil {
		return validation.Report{}, err
	}
	for _, f := range r.Findings {
		fmt.Fprintf(o.Out, "%s %q: %q\n", f.Kind, f.Key, f.Message)
	}
	fmt.Fprintf(o.Out, "valid: %v; %d of %d digests and %d of %d log files are valid, %d expired, %d archived, %d findings\n", r.Valid,
		r.Digests.Valid, r.Digests.Total, r.LogFiles.Valid, r.LogFiles.Total, r.LogFiles.Expired, r.LogFiles.Archived,
		len(r.Findings)+r.FindingsOmitted)
	return reportOf(r), nil
}

func read(path string) (validation.Input, error) {
	f, err := os.Open(path)
	if err != nil {
		return validation.Input{}, fmt.Errorf("%w: %w", errInput, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, validation.MaxInput+1))
	if err != nil {
		return validation.Input{}, fmt.Errorf("%w: %w", errInput, err)
	}
	in, err := validation.ParseInput(raw)
	if err != nil {
		return validation.Input{}, fmt.Errorf("%w: %w", errInput, err)
	}
	return in, nil
}

func reportOf(r *verify.Result) validation.Report {
	counts := map[string]int64{}
	for _, f := range r.Findings {
		counts[string(f.Kind)]++
	}
	report := validation.Report{
		Valid: r.Valid, From: r.Start.UTC(), Until: r.End.UTC(),
		Digests: validation.Count{Total: int64(r.Digests.Total), Valid: int64(r.Digests.Valid)},
		LogFiles: validation.Count{
			Total: int64(r.LogFiles.Total), Valid: int64(r.LogFiles.Valid),
			Expired: int64(r.LogFiles.Expired), Archived: int64(r.LogFiles.Archived),
		},
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		report.Findings = append(report.Findings, validation.Finding{Kind: kind, Count: counts[kind]})
	}
	return report
}

// causes are the errors that there is advice for.
var causes = []struct {
	err   error
	cause validation.Cause
}{
	{errInput, validation.CauseInput},
	{verify.ErrTooLarge, validation.CauseTooLarge},
	{objectstore.ErrArchived, validation.CauseArchived},
	{objectstore.ErrRegion, validation.CauseRegion},
	{objectstore.ErrNoBucket, validation.CauseNoBucket},
	{objectstore.ErrAccessDenied, validation.CauseAccessDenied},
	{objectstore.ErrBadCredentials, validation.CauseBadCredentials},
	{objectstore.ErrCertificate, validation.CauseCertificate},
	{objectstore.ErrForbiddenAddress, validation.CauseAddress},
	{objectstore.ErrClockSkew, validation.CauseClockSkew},
	{objectstore.ErrThrottled, validation.CauseThrottled},
	{objectstore.ErrUnreachable, validation.CauseUnreachable},
}

func causeOf(err error) validation.Cause {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.cause
		}
	}
	return validation.CauseOther
}
