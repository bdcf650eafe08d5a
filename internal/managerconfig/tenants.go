package managerconfig

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// TenantDestination is a place in a bucket that Trails of a namespace may write
// to with the operator's own identity.
type TenantDestination struct {
	Namespace string `json:"namespace"`
	// Endpoint as Trails name it; empty is AWS.
	Endpoint string `json:"endpoint,omitempty"`
	Region   string `json:"region"`
	Bucket   string `json:"bucket"`
	// Prefix and all below it; a whole bucket cannot be given.
	Prefix string `json:"prefix"`
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// prefixName is what the API server lets Trails have. No element begins with
	// a dot, so that none leads back up.
	prefixName = regexp.MustCompile(`^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*$`)
)

func isPrefix(s string) bool {
	return len(s) <= 200 && prefixName.MatchString(s) && !strings.Contains("/"+s+"/", "/AWSLogs/")
}

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
}

// ServesTenant reports whether the operator's own identity may write to place
// for its namespace: the same server, region and bucket as in an entry of
// TenantDestinations, and its prefix or one below it, by whole elements.
func (c *Config) ServesTenant(place TenantDestination) bool {
	if !isPrefix(place.Prefix) {
		return false
	}
	for _, d := range c.TenantDestinations {
		given, asked := d, place
		given.Prefix, asked.Prefix = "", ""
		if d.Prefix != "" && given == asked && strings.HasPrefix(place.Prefix+"/", d.Prefix+"/") {
			return true
		}
	}
	return false
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
