package validatelogs

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// maxCA bounds the file of certificates.
const maxCA = 1 << 20

// openBucket opens the bucket with the user's own credentials. The address was
// chosen by the user, or by a trail that the user trusts enough to validate, and
// nothing but signed reads goes there: it may be on this machine.
func (o *options) openBucket(ctx context.Context, place objectstore.Config) (objectstore.Store, error) {
	env, err := o.aws(ctx)
	if err != nil {
		return nil, err
	}
	place.AccessKey, place.SecretKey, place.Token = env.AccessKey, env.SecretKey, env.Token
	place.AllowPrivate = true
	if o.bucket != "" { // a trail says itself where its bucket is
		if place.Endpoint == "" {
			place.Endpoint = env.Endpoint
		}
		if place.Region == "" {
			place.Region = env.Region
		}
	}
	if o.caFile != "" {
		f, err := os.Open(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w", err)
		}
		defer f.Close()
		ca, err := io.ReadAll(io.LimitReader(f, maxCA))
		if err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w", err)
		}
		place.CA = append(append(place.CA, '\n'), ca...)
	}
	return o.open(place)
}
