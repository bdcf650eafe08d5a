package managerconfig

import (
	"strings"
	"testing"
)

const tenants = `tenantDestinations:
- {namespace: shop, endpoint: "https://s3.example.com", region: eu-1, bucket: audit, prefix: a}
- {namespace: shop, region: us-east-1, bucket: other, prefix: teams/shop}
`

func TestTenantDestinationOf(t *testing.T) {
	c, err := Parse([]byte(valid + tenants))
	if err != nil {
		t.Fatal(err)
	}
	base := TenantDestination{Namespace: "shop", Endpoint: "https://s3.example.com", Region: "eu-1", Bucket: "audit", Prefix: "a"}
	for name, tc := range map[string]struct {
		change func(*TenantDestination)
		want   bool
	}{
		"exactly": {func(*TenantDestination) {}, true},
		"below":   {func(d *TenantDestination) { d.Prefix = "a/b/c" }, true},
		"another entry": {func(d *TenantDestination) {
			*d = TenantDestination{Namespace: "shop", Region: "us-east-1", Bucket: "other", Prefix: "teams/shop/x"}
		}, true},
		"mixed entries":       {func(d *TenantDestination) { d.Bucket, d.Prefix = "other", "teams/shop" }, false},
		"namespace":           {func(d *TenantDestination) { d.Namespace = "shop2" }, false},
		"no namespace":        {func(d *TenantDestination) { d.Namespace = "" }, false},
		"endpoint":            {func(d *TenantDestination) { d.Endpoint = "https://s3.example.net" }, false},
		"another spelling":    {func(d *TenantDestination) { d.Endpoint = "https://S3.example.com:443" }, true},
		"another port":        {func(d *TenantDestination) { d.Endpoint = "https://s3.example.com:444" }, false},
		"AWS":                 {func(d *TenantDestination) { d.Endpoint = "" }, false},
		"plain":               {func(d *TenantDestination) { d.Endpoint = "http://s3.example.com" }, false},
		"region":              {func(d *TenantDestination) { d.Region = "eu-2" }, false},
		"bucket":              {func(d *TenantDestination) { d.Bucket = "audit2" }, false},
		"prefix that goes on": {func(d *TenantDestination) { d.Prefix = "ab" }, false},
		"prefix above":        {func(d *TenantDestination) { d.Prefix = "" }, false},
		"prefix beside":       {func(d *TenantDestination) { d.Prefix = "b/a" }, false},
		"up":                  {func(d *TenantDestination) { d.Prefix = "a/../b" }, false},
		"up at the end":       {func(d *TenantDestination) { d.Prefix = "a/.." }, false},
		"dot":                 {func(d *TenantDestination) { d.Prefix = "a/./b" }, false},
		"two slashes":         {func(d *TenantDestination) { d.Prefix = "a//b" }, false},
		"slash first":         {func(d *TenantDestination) { d.Prefix = "/a" }, false},
		"slash last":          {func(d *TenantDestination) { d.Prefix = "a/" }, false},
		"backslash":           {func(d *TenantDestination) { d.Prefix = `a/..\b` }, false},
		"escaped":             {func(d *TenantDestination) { d.Prefix = "a/%2e%2e/b" }, false},
		"newline":             {func(d *TenantDestination) { d.Prefix = "a\n" }, false},
		"another's tree":      {func(d *TenantDestination) { d.Prefix = "a/AWSLogs/000000000042" }, false},
	} {
		place := base
		tc.change(&place)
		if _, got := c.TenantDestinationOf(place); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, ok := (&Config{TenantDestinations: []TenantDestination{{Namespace: "shop"}}}).TenantDestinationOf(TenantDestination{Namespace: "shop", Prefix: "a"}); ok {
		t.Error("an entry without a prefix serves")
	}
	if _, ok := (&Config{}).TenantDestinationOf(base); ok {
		t.Error("no entry serves")
	}
	// The nearest entry decides, whatever the order.
	near := base
	near.Prefix, near.MaxObjectLockDays = "a/b", 30
	below := near
	below.Prefix, below.MaxObjectLockDays = "a/b/c", 0
	for _, list := range [][]TenantDestination{{base, near}, {near, base}} {
		if got, ok := (&Config{TenantDestinations: list}).TenantDestinationOf(below); !ok || got != near {
			t.Errorf("got %+v", got)
		}
	}
}

func TestParseRefusesTenants(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"namespace": {"namespace: shop, endpoint", "namespace: Shop, endpoint", "tenantDestinations[0].namespace: must be"},
		"endpoint":  {"https://s3.example.com", "https://s3.example.com/x", "tenantDestinations[0].endpoint: must be"},
		"password":  {"https://s3.example.com", "https://a:b@s3.example.com", "tenantDestinations[0].endpoint: must be"},
		"region":    {"eu-1, bucket", "'', bucket", "tenantDestinations[0].region: must be"},
		"bucket":    {"bucket: other", "bucket: Other", "tenantDestinations[1].bucket: must be"},
		"no prefix": {"prefix: a}", "prefix: ''}", "tenantDestinations[0].prefix: must be"},
		"up":        {"teams/shop", "teams/../shop", "tenantDestinations[1].prefix: must be"},
		"slash":     {"teams/shop", "teams/shop/", "tenantDestinations[1].prefix: must be"},
		"lock":      {"prefix: a}", "prefix: a, maxObjectLockDays: 36501}", "tenantDestinations[0].maxObjectLockDays: must be"},
		"key":       {"prefix: a}", "prefix: a, kmsKeyID: 'a b'}", "tenantDestinations[0].kmsKeyID: must be"},
		"field":     {"bucket: other", "buckets: other", "unknown field"},
	} {
		in := strings.Replace(tenants, tc.old, tc.new, 1)
		if _, err := Parse([]byte(valid + in)); err == nil || !strings.Contains(err.Error(), tc.want) || in == tenants {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
