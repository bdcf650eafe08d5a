// Package bucketpolicy is the command that prints, or applies, the least policy
// that lets a trail be written and read.
package bucketpolicy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/cli/awsenv"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/record"
)

const long = `Print the least bucket policy for a trail: the writer, whose credentials the
trail has, may create and read objects below the trail's own prefix, list that,
and set of the bucket what the trail asks for, if it manages the bucket. A
reader may list and read that prefix. Nobody may delete or change anything, or
look at what else the bucket holds. Where the server is reached by https, the
prefix is closed to plain HTTP.

With --apply the statements are put into the policy that the bucket has, with
your own AWS environment or profile, which must be allowed s3:GetBucketPolicy
and s3:PutBucketPolicy. Statements of others stay as they are; those with the
same Sid, of an earlier call, are replaced.

MinIO has bucket policies for anonymous access only: attach what --identity
prints to the user. On AWS that is a policy for an IAM user or role.`

const example = `  # Let the operator's role write, and an auditor read
  kubectl trail bucket-policy audit -n shop --writer arn:aws:iam::123456789012:role/trail \
    --reader arn:aws:iam::123456789012:user/auditor

  # Put it into the bucket
  kubectl trail bucket-policy audit -n shop --writer arn:aws:iam::123456789012:role/trail --apply

  # Let the owners of one cluster read their part of an organization's bucket
  kubectl trail bucket-policy organizationtrail/audit --account 000000000042 --reader arn:aws:iam::123456789012:role/team-a

  # A user's own policy, for MinIO
  kubectl trail bucket-policy audit -n shop --identity writer > writer.json
  mc admin policy create myminio trail-writer writer.json`

// Values of --identity.
const (
	writer = "writer"
	reader = "reader"
)

type options struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	// open and aws are replaced in tests.
	open objectstore.ManagedOpener
	aws  func(context.Context) (awsenv.Environment, error)

	writer            string
	readers           []string
	account           string
	identity          string
	cloudTrail, apply bool
	operatorNamespace string
}

// NewCommand returns the command.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(&options{cluster: cluster, streams: streams, open: minio.NewManaged, aws: awsenv.Load})
}

func newCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "bucket-policy TRAIL",
		Short:             "Print or apply the least bucket policy for a trail",
		Long:              long,
		Example:           example,
		ValidArgsFunction: kube.CompleteTrail(o.cluster),
		Args:              o.args,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.writer, "writer", "", "who writes the trail: the ARN of a user or role, or the name that the server has for its user")
	f.StringArrayVar(&o.readers, "reader", nil, "who reads the trail, likewise; can be repeated")
	f.StringVar(&o.account, "account", "", "account ID of another cluster whose part of the bucket it is about, 12 digits; that of this cluster if not given")
	f.StringVar(&o.identity, "identity", "", "print a policy to attach to the user or role instead: writer or reader")
	f.BoolVar(&o.cloudTrail, "cloudtrail-form", false, "add the statements of AWS's own policy for CloudTrail, for tools that look for them")
	f.BoolVar(&o.apply, "apply", false, "put the statements into the bucket's policy")
	f.StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	_ = cmd.RegisterFlagCompletionFunc("identity", cobra.FixedCompletions([]string{writer, reader}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(o.cluster))
	for _, name := range []string{"writer", "reader", "account"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

var (
	accountID = regexp.MustCompile(`^\d{12}$`)
	// principal is an ARN of one user, role, session or account, or a name. It has
	// no wildcard: a policy for everybody is none.
	principal = regexp.MustCompile(`^(arn:[a-z0-9-]+:(iam|sts)::(\d{12})?:[A-Za-z0-9+=,.@_/-]+|[A-Za-z0-9+=,.@_-]{1,128})$`)
)

func (o *options) args(_ *cobra.Command, args []string) error {
	given := o.writer != "" || len(o.readers) > 0 || o.cloudTrail
	switch {
	case len(args) != 1:
		return errors.New("bucket-policy takes the name of one trail, as in: kubectl trail bucket-policy audit --writer ARN")
	case o.identity != "" && (given || o.apply):
		return errors.New("--identity prints a policy without principals: leave out --writer, --reader, --cloudtrail-form and --apply")
	case o.identity != "" && o.identity != writer && o.identity != reader:
		return fmt.Errorf("--identity must be %s or %s", writer, reader)
	case o.identity == "" && !given:
		return errors.New("say who may do something: --writer ARN, --reader ARN, --cloudtrail-form, or --identity for a policy of the user's own")
	case o.account != "" && !accountID.MatchString(o.account):
		return errors.New("--account must be 12 digits")
	case len(validation.IsDNS1123Label(o.operatorNamespace)) > 0:
		return fmt.Errorf("--operator-namespace %q is not the name of a namespace", o.operatorNamespace)
	}
	for _, p := range slices.Concat([]string{o.writer}, o.readers) {
		if p != o.writer && p == "" || p != "" && (!principal.MatchString(p) || len(p) > 2048) {
			return fmt.Errorf("%q names nobody: give the ARN of a user or role, such as arn:aws:iam::123456789012:role/trail, or the name that the server has for its user", p)
		}
	}
	return nil
}

func (o *options) run(ctx context.Context, arg string) error {
	t, err := kube.Trail(ctx, o.cluster, arg)
	if err != nil {
		return err
	}
	layout, name, err := kube.Place(ctx, o.cluster, t, o.operatorNamespace)
	if err != nil {
		return err
	}
	if o.account != "" {
		layout.Account = o.account
	}
	d := t.Spec.Destination
	of := bucket.Trail{ARN: record.TrailARN(layout.Region, layout.Account, name), Layout: layout}
	var p bucket.Policy
	switch o.identity {
	case writer:
		p = bucket.WriterPolicy(d, of, t.Status.Bucket)
	case reader:
		p = bucket.ReaderPolicy(d, of)
	default:
		p = bucket.PolicyOf(d, of, t.Status.Bucket, bucket.Access{Writer: o.writer, Readers: o.readers, CloudTrail: o.cloudTrail})
	}
	if o.apply {
		err = o.put(ctx, t, p)
	} else {
		_, err = io.WriteString(o.streams.Out, p.JSON())
	}
	if err == nil {
		o.tellKey(d)
	}
	return err
}

// tellKey says what no policy of a bucket can give.
func (o *options) tellKey(d v1alpha1.Destination) {
	key := bucket.KMSKey(d)
	if key == "" || o.identity != "" && strings.HasPrefix(key, "arn:") {
		return
	}
	fmt.Fprintf(o.streams.ErrOut, "note: the policy of the KMS key %s must allow the writer kms:GenerateDataKey and kms:Decrypt, and readers kms:Decrypt.\n", key)
}
