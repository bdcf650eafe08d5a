// Package awsenv reads the user's AWS environment and profile, with which
// commands reach buckets.
package awsenv

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/config"
)

// Environment is what the user's AWS environment and profile say.
type Environment struct {
	AccessKey, SecretKey, Token string
	Region, Endpoint            string // empty where nothing is said
}

// Load reads it as every AWS tool does.
func Load(ctx context.Context) (Environment, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return Environment{}, errors.New("your AWS configuration cannot be read; check AWS_PROFILE and the files in ~/.aws")
	}
	creds, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return Environment{}, errors.New("there are no AWS credentials to reach the bucket with; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	}
	env := Environment{AccessKey: creds.AccessKeyID, SecretKey: creds.SecretAccessKey, Token: creds.SessionToken, Region: c.Region}
	if c.BaseEndpoint != nil {
		env.Endpoint = *c.BaseEndpoint
	}
	return env, nil
}
