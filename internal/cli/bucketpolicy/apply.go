package bucketpolicy

import (
	"context"
	"errors"
	"fmt"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// put writes the statements into the bucket's policy, and reads it back: S3
// cannot write some statements only, so another writer may come between.
func (o *options) put(ctx context.Context, t *v1alpha1.Trail, p bucket.Policy) error {
	store, err := o.openBucket(ctx, t.Spec.Destination)
	if err != nil {
		return err
	}
	before, err := store.Policy(ctx)
	if err != nil {
		return explain(ctx, err)
	}
	merged, others, err := bucket.Merge(before, p)
	if err != nil {
		return err
	}
	name := t.Spec.Destination.Bucket
	if bucket.SamePolicy(merged, before) {
		fmt.Fprintf(o.streams.Out, "policy of bucket %s unchanged: %s, %s of others\n", name, statements(len(p.Statement)), statements(others))
		return nil
	}
	if err := store.SetPolicy(ctx, merged); err != nil {
		return explain(ctx, err)
	}
	after, err := store.Policy(ctx)
	if err != nil {
		return explain(ctx, err)
	}
	if err := bucket.CheckMerged(merged, after); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Out, "policy of bucket %s applied: %s, and %s of others kept\n", name, statements(len(p.Statement)), statements(others))
	return nil
}

func statements(n int) string {
	if n == 1 {
		return "1 statement"
	}
	return fmt.Sprintf("%d statements", n)
}

// openBucket opens the bucket with the user's own credentials, at the address that
// the trail has.
func (o *options) openBucket(ctx context.Context, d v1alpha1.Destination) (objectstore.Managed, error) {
	env, err := o.aws(ctx)
	if err != nil {
		return nil, err
	}
	return o.open(objectstore.Config{
		Endpoint: d.Endpoint, Region: d.RegionOrDefault(), Bucket: d.Bucket,
		AccessKey: env.AccessKey, SecretKey: env.SecretKey, Token: env.Token,
		PathStyle: d.AddressingStyle == v1alpha1.AddressingPath, CA: []byte(d.CA), AllowPrivate: true,
	})
}

// explain says what to do about an error of the server.
func explain(ctx context.Context, err error) error {
	var e *objectstore.Error
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(err, objectstore.ErrAccessDenied), errors.Is(err, objectstore.ErrBadCredentials):
		return fmt.Errorf("%w; your AWS environment must hold credentials that are allowed s3:GetBucketPolicy and s3:PutBucketPolicy on the bucket", err)
	case errors.Is(err, objectstore.ErrNoBucket):
		return fmt.Errorf("%w; create it, or let the operator create it with a policy of its own that --identity prints", err)
	case errors.Is(err, objectstore.ErrNotImplemented):
		return fmt.Errorf("%w: it has no bucket policies; give the users policies of their own, which --identity prints", err)
	case errors.As(err, &e) && e.Op == objectstore.OpSetPolicy && e.Status == 400:
		return fmt.Errorf("%w; nothing was changed. The server does not know a principal, or a condition: check --writer and --reader, and leave out --cloudtrail-form, "+
			"which few servers but AWS take", err)
	}
	return err
}
