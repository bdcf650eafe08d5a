package minio

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// The variables of the environment by which the clouds give credentials to a
// process, as AWS's own libraries know them.
const (
	envAccessKey       = "AWS_ACCESS_KEY_ID"
	envSecretKey       = "AWS_SECRET_ACCESS_KEY" //nolint:gosec // a name
	envWebIdentity     = "AWS_WEB_IDENTITY_TOKEN_FILE"
	envRole            = "AWS_ROLE_ARN"
	envSTS             = "AWS_ENDPOINT_URL_STS"
	envContainer       = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	envContainerFull   = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	envMetadata        = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
	envMetadataTurnOff = "AWS_EC2_METADATA_DISABLED"
)

// Bounds of an answer with credentials, and of the time for it.
const (
	maxCredentials    = 256 << 10
	credentialTimeout = 10 * time.Second
)

// shared are the ambient credentials of the process: all stores use the same,
// so that they are fetched once.
var shared struct {
	sync.Mutex
	environment string
	credentials *credentials.Credentials
}

// ambientCredentials returns the credentials that the environment gives. They
// are fetched when they are first needed, and again before they expire.
func ambientCredentials() *credentials.Credentials {
	var all strings.Builder
	for _, name := range []string{
		envAccessKey, envSecretKey, envWebIdentity, envRole, envSTS, envContainer, envContainerFull, envMetadata, envMetadataTurnOff,
	} {
		fmt.Fprintf(&all, "%q", os.Getenv(name))
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.credentials == nil || shared.environment != all.String() {
		shared.environment, shared.credentials = all.String(), credentials.New(newAmbient())
	}
	return shared.credentials
}

// ambient fetches the credentials of the process. minio-go's chain would go on
// without any when it finds none.
type ambient struct {
	source   string // what is asked, for people
	provider credentials.Provider
}

// newAmbient looks into the environment in the order of AWS's libraries. It has
// a transport of its own: the addresses that give credentials are those that a
// store must not reach.
func newAmbient() *ambient {
	return ambientOver(newWire(newDialer(true, nil), nil).RoundTripper)
}

func ambientOver(transport http.RoundTripper) *ambient {
	if os.Getenv(envAccessKey) != "" && os.Getenv(envSecretKey) != "" {
		return &ambient{"environment", &credentials.EnvAWS{}}
	}
	iam := &credentials.IAM{Client: &http.Client{
		Transport:     bounding{transport},
		Timeout:       credentialTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	switch {
	case os.Getenv(envWebIdentity) != "":
		iam.Endpoint = os.Getenv(envSTS)
		return &ambient{"token service (STS), which was asked with the web identity,", iam}
	case cmp.Or(os.Getenv(envContainer), os.Getenv(envContainerFull)) != "":
		return &ambient{"credentials service of the container", iam}
	case strings.EqualFold(os.Getenv(envMetadataTurnOff), "true"):
		return &ambient{"environment", nil}
	}
	iam.Endpoint = strings.TrimSuffix(os.Getenv(envMetadata), "/")
	return &ambient{"environment is empty, and the metadata service of the machine", iam}
}

// RetrieveWithCredContext implements credentials.Provider.
func (a *ambient) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	if a.provider == nil {
		return credentials.Value{}, &ambientError{a.source}
	}
	v, err := a.provider.RetrieveWithCredContext(cc)
	if err != nil || v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return credentials.Value{}, &ambientError{a.source}
	}
	return v, nil
}

// Retrieve implements credentials.Provider.
func (a *ambient) Retrieve() (credentials.Value, error) { return a.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (a *ambient) IsExpired() bool { return a.provider == nil || a.provider.IsExpired() }

// ambientError says that there are no credentials, without what the service
// that was asked has said.
type ambientError struct{ source string }

func (e *ambientError) Error() string {
	return fmt.Sprintf("%v: the %s gave none", objectstore.ErrBadCredentials, e.source)
}

func (e *ambientError) Unwrap() error { return objectstore.ErrBadCredentials }

// bounding bounds every answer.
type bounding struct{ http.RoundTripper }

func (b bounding) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxCredentials), resp.Body}
	return resp, nil
}
