package validatelogs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// awsEnvironment is what the user's AWS environment and profile say.
type awsEnvironment struct {
	accessKey, secretKey, token string
	region, endpoint            string
}

// loadAWS reads it as every AWS tool does.
func loadAWS(ctx context.Context) (awsEnvironment, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return awsEnvironment{}, errors.New("your AWS configuration cannot be read; check AWS_PROFILE and the files in ~/.aws")
	}
	creds, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return awsEnvironment{}, errors.New("there are no AWS credentials to read the bucket with; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	}
	env := awsEnvironment{accessKey: creds.AccessKeyID, secretKey: creds.SecretAccessKey, token: creds.SessionToken, region: c.Region}
	if c.BaseEndpoint != nil {
		env.endpoint = *c.BaseEndpoint
	}
	return env, nil
}

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
	place.AccessKey, place.SecretKey, place.Token = env.accessKey, env.secretKey, env.token
	place.AllowPrivate = true
	if o.bucket != "" { // a trail says itself where its bucket is
		if place.Endpoint == "" {
			place.Endpoint = env.endpoint
		}
		if place.Region == "" {
			place.Region = env.region
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
