// Package validatelogs is the command that validates what a trail has delivered.
package validatelogs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/internal/cli/awsenv"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/verify"
)

const long = `Validate the digests and log files of a trail: that none was changed, removed or
added since it was delivered, and that the chain of digests has no gap.

The trail is one of the cluster (TRAIL), or it is named by --bucket, --account,
--region and --trail, without any cluster, or it lies in a folder (--dir) that
was downloaded with "aws s3 sync". The bucket is read with the credentials of
your AWS environment or profile (AWS_ACCESS_KEY_ID, AWS_PROFILE and so on).

What is checked against what:
  public keys   of a TRAIL: those of the cluster; else those published in the
                bucket, which --trust or --head pins
  newest digest the head in the status of the TRAIL, and every --head: without
                one, nobody can tell that the newest digests were deleted

Exit codes: 0 valid; 1 not valid; 2 the validation could not be carried out.`

const example = `  # A trail of this cluster
  kubectl trail validate-logs audit -n shop

  # An organization trail
  kubectl trail validate-logs organizationtrail/audit

  # A bucket, from anywhere, against an anchor kept elsewhere
  kubectl trail validate-logs --bucket audit --prefix shop/audit --account 000000000042 \
    --region eu-central-1 --trail shop.audit --endpoint https://s3.example.com --head anchor.json

  # A downloaded copy, offline
  aws s3 sync s3://audit ./copy
  kubectl trail validate-logs --dir ./copy --head anchor.json

  # The first week of March
  kubectl trail validate-logs audit --start-time 2026-03-01 --end-time 2026-03-08`

// Output formats.
const (
	formatText = "text"
	formatJSON = "json"
)

const maxWorkers = 64

type options struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	// open and aws are replaced in tests.
	open objectstore.Opener
	aws  func(context.Context) (awsenv.Environment, error)

	bucket, prefix, organization, account, region, trail string
	endpoint, bucketRegion, caFile                       string
	dir                                                  string
	start, end                                           string
	trust                                                string
	headFiles                                            []string
	operatorNamespace                                    string
	output                                               string
	workers                                              int
}

// NewCommand returns the command.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(&options{cluster: cluster, streams: streams, open: minio.New, aws: awsenv.Load})
}

func newCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "validate-logs [TRAIL]",
		Short:             "Validate the digests and log files of a trail",
		Long:              long,
		Example:           example,
		ValidArgsFunction: kube.CompleteTrail(o.cluster),
		Args:              o.args,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.bucket, "bucket", "", "bucket to validate, instead of a trail of the cluster; with --dir: the bucket that the copy was made of")
	f.StringVar(&o.prefix, "prefix", "", "prefix of the trail in the bucket")
	f.StringVar(&o.organization, "organization", "", "ID of the organization in the bucket's keys (o-…), if they have one")
	f.StringVar(&o.account, "account", "", "account ID of the cluster, 12 digits")
	f.StringVar(&o.region, "region", "", "region of the cluster, as it stands in the bucket's keys")
	f.StringVar(&o.trail, "trail", "", "CloudTrail name of the trail: NAMESPACE.NAME, or the name of an organization trail")
	f.StringVar(&o.endpoint, "endpoint", "", "URL of the bucket's server, with --bucket; else that of your AWS configuration")
	f.StringVar(&o.bucketRegion, "bucket-region", "", "region of the bucket, with --bucket; else that of your AWS configuration")
	f.StringVar(&o.caFile, "ca-file", "", "PEM file of certificates to trust for the bucket's server, besides the public ones")
	f.StringVar(&o.dir, "dir", "", "folder with a downloaded copy of the bucket, read instead of the bucket")
	f.StringVar(&o.start, "start-time", "", "validate from here on: 2026-03-01 or 2026-03-01T12:00:00Z")
	f.StringVar(&o.end, "end-time", "", "validate up to here")
	f.StringVar(&o.trust, "trust", "", "hex SHA-256 of the installation's first public key: no other key counts but it and its successors")
	f.StringArrayVar(&o.headFiles, "head", nil, "file with a digest that must exist, as \"kubectl trail head\" prints it; can be repeated")
	f.StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	f.StringVarP(&o.output, "output", "o", formatText, "text or json")
	f.IntVar(&o.workers, "workers", 8, "number of objects read at the same time")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatText, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(o.cluster))
	_ = cmd.MarkFlagDirname("dir")
	for _, name := range []string{
		"bucket", "prefix", "organization", "account", "region", "trail", "endpoint", "bucket-region",
		"start-time", "end-time", "trust", "workers",
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

var (
	accountID = regexp.MustCompile(`^\d{12}$`)
	regionID  = regexp.MustCompile(`^[a-z0-9-]+$`)
	hexSHA256 = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
)

// args checks the command line as a whole: no flag that says what to validate is
// silently ignored.
func (o *options) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return errors.New("validate-logs takes the name of one trail")
	case len(args) == 0 && o.bucket == "" && o.dir == "":
		return errors.New("name a trail, or give --bucket or --dir; see `kubectl trail validate-logs --help`")
	case len(args) == 1 && o.bucket+o.prefix+o.organization+o.account+o.region+o.trail != "":
		return errors.New("a trail of the cluster says itself where it is; leave out --bucket, --prefix, --organization, --account, --region and --trail")
	case (len(args) == 1 || o.dir != "") && o.endpoint+o.bucketRegion != "":
		return errors.New("--endpoint and --bucket-region belong to --bucket alone")
	case o.dir != "" && o.caFile != "":
		return errors.New("--ca-file has no meaning for a folder")
	case o.bucket != "" && o.dir == "" && (o.account == "" || o.region == "" || o.trail == ""):
		return errors.New("--bucket also needs --account, --region and --trail, as they stand in the keys of the digests")
	case o.account != "" && !accountID.MatchString(o.account):
		return errors.New("--account must be 12 digits")
	case o.region != "" && !regionID.MatchString(o.region):
		return errors.New("--region must be lower-case letters, digits and hyphens")
	case o.trust != "" && !hexSHA256.MatchString(o.trust):
		return errors.New("--trust must be a SHA-256 in hex: 64 digits")
	case o.output != formatText && o.output != formatJSON:
		return fmt.Errorf("the output format %q is not known; use text or json", o.output)
	case o.workers < 1 || o.workers > maxWorkers:
		return fmt.Errorf("--workers must be 1 to %d", maxWorkers)
	}
	return nil
}

// invalid is the answer no.
type invalid struct{}

func (invalid) Error() string { return "the trail is not valid" }

// ExitCode is that of the answer no.
func (invalid) ExitCode() int { return 1 }

func (o *options) run(ctx context.Context, args []string) error {
	q := verify.Options{Trust: o.trust, Workers: o.workers}
	var err error
	if q.Start, err = parseTime("--start-time", o.start); err != nil {
		return err
	}
	if q.End, err = parseTime("--end-time", o.end); err != nil {
		return err
	}
	done, err := o.choose(ctx, args, &q)
	if err != nil {
		return err
	}
	defer done()
	for _, file := range o.headFiles {
		h, err := readHead(file)
		if err != nil {
			return err
		}
		q.Heads = append(q.Heads, h)
	}
	progress := newProgress(o.streams.ErrOut)
	q.Progress = progress.show
	r, err := verify.Run(ctx, q)
	progress.clear()
	if err != nil {
		return explain(ctx, err)
	}
	write := writeText
	if o.output == formatJSON {
		write = writeJSON
	}
	if err := write(o.streams.Out, r); err != nil {
		return err
	}
	if !r.Valid {
		return invalid{}
	}
	return nil
}

func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is no time; write 2026-03-01 or 2026-03-01T12:00:00Z", flag, s)
}

// explain says what to do about an error that kept validation from its end.
func explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(err, verify.ErrNoDigests):
		return fmt.Errorf("%w; check the place and the time, and whether the first full hour is over", err)
	case errors.Is(err, objectstore.ErrAccessDenied), errors.Is(err, objectstore.ErrBadCredentials):
		return fmt.Errorf("%w; your AWS environment must hold credentials that may list and read the bucket", err)
	case errors.Is(err, objectstore.ErrNoBucket):
		return fmt.Errorf("%w; check the names of the bucket and its server", err)
	case errors.Is(err, objectstore.ErrCertificate):
		return fmt.Errorf("%w; give the certificates to trust with --ca-file", err)
	}
	return err
}
