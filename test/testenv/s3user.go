package testenv

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// S3User is somebody else than the owner of a server.
type S3User struct{ AccessKey, SecretKey, SessionToken string }

// NewVersityUser makes a user of a versitygw, whom nothing is allowed. Bucket
// policies name it by its access key, which is name.
func (s *S3Server) NewVersityUser(ctx context.Context, name string) (S3User, error) {
	u := S3User{AccessKey: name, SecretKey: name + "-secret"}
	body := fmt.Sprintf("<Account><Access>%s</Access><Secret>%s</Secret><Role>user</Role></Account>", u.AccessKey, u.SecretKey)
	_, err := s.call(ctx, http.MethodPatch, "/create-user", body, "s3", "")
	return u, err
}

// NewMinIOUser makes temporary credentials of a MinIO, for an hour, whom
// policy, the document of a user's policy, allows what they may do.
func (s *S3Server) NewMinIOUser(ctx context.Context, policy string) (S3User, error) {
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "DurationSeconds": {"3600"}, "Policy": {policy}}
	answer, err := s.call(ctx, http.MethodPost, "/", form.Encode(), "sts", "application/x-www-form-urlencoded")
	if err != nil {
		return S3User{}, err
	}
	var found struct {
		AccessKey    string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		SecretKey    string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		SessionToken string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal(answer, &found); err != nil {
		return S3User{}, err
	}
	if found.AccessKey == "" {
		return S3User{}, errors.New("the server gave no credentials")
	}
	return S3User(found), nil
}

// call sends a request that the owner of the server signs.
func (s *S3Server) call(ctx context.Context, method, path, body, service, contentType string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(body))
	sum := hex.EncodeToString(digest[:])
	req.Header.Set("X-Amz-Content-Sha256", sum)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	owner := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
	if err := v4.NewSigner().SignHTTP(ctx, owner, req, sum, service, s.Region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := unverified.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, err
}

// unverified takes any certificate: it talks to servers that were started here.
var unverified = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true,
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
}}
