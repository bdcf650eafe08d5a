// Package cloudtrailapi answers the unmodified AWS CLI and SDKs on one address:
// a read-only part of CloudTrail's API (JSON 1.1), the one call to Organizations
// that validates the trail of an organization, and the part of S3 that reading
// log files needs, passed through to the bucket.
//
// It does not check who asks. Serve it to its own user only, on the loopback
// interface.
package cloudtrailapi

import (
	"context"
	"net/http"

	"github.com/go-logr/logr"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Trail is a trail as DescribeTrails shows it.
type Trail struct {
	Name   string // CloudTrail name
	ARN    string
	Region string // of the installation
	Bucket string
	Prefix string
	// Organization is the organization ID in the keys of its objects, empty where
	// they have none. Clients ask for it only where there is one.
	Organization string
	// Validation is true when the trail has digests.
	Validation bool
	// Selection is what the trail records; empty means all management events.
	Selection v1alpha1.EventSelection
}

// Source is where answers come from.
type Source interface {
	// Trails returns all trails.
	Trails(ctx context.Context) ([]Trail, error)
	// PublicKeys returns all public keys that ever signed.
	PublicKeys(ctx context.Context) ([]record.PublishedKey, error)
	// Bucket opens a bucket, or returns objectstore.ErrNoBucket.
	Bucket(ctx context.Context, name string) (objectstore.Store, error)
}

type handler struct {
	source Source
	log    logr.Logger
}

// New returns the handler of all requests.
func New(source Source, log logr.Logger) http.Handler { return &handler{source, log} }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.URL.Path == "/" {
		h.serveCloudTrail(w, r)
		return
	}
	h.serveS3(w, r)
}
