package managerconfig

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// TenantDestination is a place in a bucket that Trails of a namespace may write
// to with the operator's own identity.
type TenantDestination struct {
	Namespace string `json:"namespace"`
	// Endpoint of the server, however Trails spell it; empty is AWS.
	Endpoint string `json:"endpoint,omitempty"`
	Region   string `json:"region"`
	Bucket   string `json:"bucket"`
	// Prefix and all below it; a whole bucket cannot be given.
	Prefix string `json:"prefix"`
	// MaxObjectLockDays is how long these Trails may lock objects; 0 is not at
	// all. Nobody can delete what is locked, whoever owns the bucket.
	MaxObjectLockDays int32 `json:"maxObjectLockDays,omitempty"`
	// KMSKeyID is the one key that these Trails may name, beside the bucket's
	// default; empty is none.
	KMSKeyID string `json:"kmsKeyID,omitempty"`
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func isPrefix(s string) bool { return s != "" && receiverconfig.IsPrefix(s) }

func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && s == u.Scheme+"://"+u.Host
}

func (d TenantDestination) validate(field string, bad func(field, message string)) {
	if len(validation.IsDNS1123Label(d.Namespace)) > 0 {
		bad(field+".namespace", "must be the name of a namespace")
	}
	if d.Endpoint != "" && !isEndpoint(d.Endpoint) {
		bad(field+".endpoint", "must be the URL of a server without a path, such as https://s3.example.com:9000, or left out for AWS")
	}
	if !receiverconfig.IsRegion(d.Region) {
		bad(field+".region", "must be the region of the bucket, such as eu-central-1; us-east-1 where Trails name none")
	}
	if !bucketName.MatchString(d.Bucket) || strings.Contains(d.Bucket, "..") {
		bad(field+".bucket", "must be the name of a bucket")
	}
	if !isPrefix(d.Prefix) {
		bad(field+".prefix", "must be a prefix such as team-a, without a slash at either end; a whole bucket cannot be given to a namespace")
	}
	if d.MaxObjectLockDays < 0 || d.MaxObjectLockDays > receiverconfig.MaxRetentionDays {
		bad(field+".maxObjectLockDays", "must be 1 to 36500, or left out where Trails may not lock objects")
	}
	if !receiverconfig.IsKMSKeyID(d.KMSKeyID) {
		bad(field+".kmsKeyID", "must be the ID, alias or ARN of a key of the KMS, or left out")
	}
}

// TenantDestinationOf returns the entry of TenantDestinations that lets the
// operator's own identity write to place for its namespace: the same server,
// region and bucket, and its prefix or one below it, by whole elements. Of
// several it is the one with the longest prefix.
func (c *Config) TenantDestinationOf(place TenantDestination) (found TenantDestination, ok bool) {
	if !isPrefix(place.Prefix) {
		return found, false
	}
	for _, d := range c.TenantDestinations {
		same := d.Namespace == place.Namespace && objectstore.Origin(d.Endpoint) == objectstore.Origin(place.Endpoint) && d.Region == place.Region && d.Bucket == place.Bucket
		if same && d.Prefix != "" && strings.HasPrefix(place.Prefix+"/", d.Prefix+"/") && len(d.Prefix) > len(found.Prefix) {
			found, ok = d, true
		}
	}
	return found, ok
}

func (c *Config) validateTenants(bad func(field, message string)) {
	if len(c.TenantDestinations) > maxList {
		bad("tenantDestinations", "must have at most 1000 entries")
		return
	}
	for i, d := range c.TenantDestinations {
		d.validate(fmt.Sprintf("tenantDestinations[%d]", i), bad)
	}
}
