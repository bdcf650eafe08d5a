package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Policy is a policy of a bucket, or of a user, in S3's form.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement of a Policy.
type Statement struct {
	Sid       string `json:",omitempty"`
	Effect    string
	Principal any `json:",omitempty"`
	Action    []string
	Resource  []string
	Condition condition `json:",omitempty"`
}

// condition has operators, the keys they look at, and values.
type condition map[string]map[string][]string

const (
	policyVersion = "2012-10-17"
	allow, deny   = "Allow", "Deny"
)

// Access says who gets which access to a trail's objects. Principals are ARNs, or
// what else the server names its users by.
type Access struct {
	Writer  string // whose credentials the trail has
	Readers []string
	// CloudTrail adds the statements of AWS's own policy for CloudTrail, for
	// tools that look for them. They let nobody in who writes for this trail.
	CloudTrail bool
}

// PolicyOf is the bucket policy of one trail: no more than the writer needs below
// the trail's place and, as far as d asks for it, on the bucket's settings; and
// no more than to list and read the place for the readers. Where the server is
// reached by https, nobody reaches the place without. was is what had been set.
//
// The Sids say whose the statements are: they belong to the place, which belongs
// to one trail.
func PolicyOf(d v1alpha1.Destination, t Trail, was *v1alpha1.BucketStatus, a Access) Policy {
	g := grants{d: d, t: t, was: was, partition: partitionOf(d)}
	var list []Statement
	if a.Writer != "" {
		list = append(list, named(map[string]any{"AWS": a.Writer}, g.writer()...)...)
	}
	if len(a.Readers) > 0 {
		readers := slices.Clone(a.Readers)
		slices.Sort(readers)
		list = append(list, named(map[string]any{"AWS": slices.Compact(readers)}, g.reader()...)...)
	}
	if a.CloudTrail {
		list = append(list, named(map[string]any{"Service": "cloudtrail.amazonaws.com"}, g.cloudTrail()...)...)
	}
	if !strings.HasPrefix(d.Endpoint, "http://") {
		list = append(list, named("*", g.insecure())...)
	}
	for i := range list {
		list[i].Sid += g.suffix()
	}
	return Policy{policyVersion, list}
}

// WriterPolicy is a policy to attach to the user or role that writes: where the
// server's bucket policies do not concern users, as MinIO's, or to leave the
// bucket's alone. It lets a bucket be created that the operator looks after.
func WriterPolicy(d v1alpha1.Destination, t Trail, was *v1alpha1.BucketStatus) Policy {
	g := grants{d: d, t: t, was: was, partition: partitionOf(d)}
	list := g.writer()
	if d.IsManaged() {
		list = append(list, Statement{Sid: "Create", Effect: allow, Action: []string{objectstore.OpCreateBucket.Permission()}, Resource: g.bucket()})
	}
	if key := KMSKey(d); strings.HasPrefix(key, "arn:") {
		list = append(list, Statement{Sid: "Encrypt", Effect: allow, Action: []string{"kms:GenerateDataKey", "kms:Decrypt"}, Resource: []string{key}})
	}
	return Policy{policyVersion, list}
}

// ReaderPolicy is the same for whoever reads.
func ReaderPolicy(d v1alpha1.Destination, t Trail) Policy {
	g := grants{d: d, t: t, partition: partitionOf(d)}
	list := g.reader()
	if key := KMSKey(d); strings.HasPrefix(key, "arn:") {
		list = append(list, Statement{Sid: "Decrypt", Effect: allow, Action: []string{"kms:Decrypt"}, Resource: []string{key}})
	}
	return Policy{policyVersion, list}
}

// KMSKey is the key whose own policy must let writer and readers use it; empty
// if there is none to name.
func KMSKey(d v1alpha1.Destination) string {
	if d.Encryption == nil {
		return ""
	}
	return d.Encryption.KMSKeyID
}

// partitionOf is the part of AWS that the bucket is in, as ARNs name it. Other
// servers use that of the public part.
func partitionOf(d v1alpha1.Destination) string {
	switch {
	case d.Endpoint != "":
	case strings.HasPrefix(d.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(d.Region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

func named(principal any, list ...Statement) []Statement {
	for i := range list {
		list[i].Principal = principal
	}
	return list
}

// grants makes statements about the place of one trail, without principals.
type grants struct {
	d         v1alpha1.Destination
	t         Trail
	was       *v1alpha1.BucketStatus
	partition string
}

// suffix ends the Sids of the place. AWS takes letters and digits only.
func (g grants) suffix() string {
	sum := sha256.Sum256([]byte(g.t.places().root))
	return hex.EncodeToString(sum[:8])
}

func (g grants) bucket() []string {
	return []string{"arn:" + g.partition + ":s3:::" + g.d.Bucket}
}

func (g grants) objects(keys ...string) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = g.bucket()[0] + "/" + k
	}
	return list
}

// listing allows to list the place, and nothing beside it. Who lists the bucket
// without a prefix is refused.
func (g grants) listing(sid string) Statement {
	return Statement{
		Sid: sid, Effect: allow, Action: []string{"s3:ListBucket"}, Resource: g.bucket(),
		Condition: condition{"StringLike": {"s3:prefix": {g.t.places().root + "*"}}},
	}
}

func (g grants) writer() []Statement {
	p := g.t.places()
	actions := []string{"s3:GetObject", "s3:PutObject"}
	if g.d.ObjectLock != nil {
		actions = append(actions, "s3:GetObjectRetention", "s3:PutObjectRetention")
	}
	owner := strings.TrimSuffix(p.owner, ".json") + "*.json" // with those that prove encryption and lock
	return []Statement{
		{Sid: "TrailWrite", Effect: allow, Action: actions, Resource: g.objects(p.logs+"*", p.digests+"*", p.keys+"*", owner)},
		g.listing("TrailWriterList"),
		{Sid: "TrailSettings", Effect: allow, Action: g.settings(), Resource: g.bucket()},
	}
}

// settings are the permissions on the bucket as a whole: to look at what d asks
// for, and at the rules that delete the trail's objects, and to set what the
// operator is to set.
func (g grants) settings() []string {
	want := Want(g.d, g.t, g.was)
	var list []string
	for _, s := range []struct {
		get, set     objectstore.Op
		wanted, look bool
	}{
		{objectstore.OpGetVersioning, objectstore.OpSetVersioning, want.Versioning, false},
		{objectstore.OpGetEncryption, objectstore.OpSetEncryption, want.Encryption.Type != objectstore.EncryptionNone, false},
		{objectstore.OpGetObjectLock, objectstore.OpSetObjectLock, want.Retention != objectstore.DefaultRetention{}, false},
		{objectstore.OpGetLifecycle, objectstore.OpSetLifecycle, len(want.Rules) > 0 || want.HadRules, true},
		{objectstore.OpGetTags, objectstore.OpSetTags, len(want.Tags) > 0, false},
	} {
		if s.wanted || s.look {
			list = append(list, s.get.Permission())
		}
		if s.wanted && g.d.IsManaged() {
			list = append(list, s.set.Permission())
		}
	}
	return list
}

func (g grants) reader() []Statement {
	return []Statement{
		{Sid: "TrailRead", Effect: allow, Action: []string{"s3:GetObject"}, Resource: g.objects(g.t.places().root + "*")},
		g.listing("TrailReaderList"),
		// The AWS CLI asks for it before it validates.
		{Sid: "TrailReaderLocation", Effect: allow, Action: []string{"s3:GetBucketLocation"}, Resource: g.bucket()},
	}
}

// cloudTrail are the statements that AWS documents. The ARN of the trail keeps
// every trail of AWS itself out.
func (g grants) cloudTrail() []Statement {
	const sourceARN = "aws:SourceArn"
	return []Statement{
		{
			Sid: "AWSCloudTrailAclCheck", Effect: allow, Action: []string{"s3:GetBucketAcl"}, Resource: g.bucket(),
			Condition: condition{"StringEquals": {sourceARN: {g.t.ARN}}},
		},
		{
			Sid: "AWSCloudTrailWrite", Effect: allow, Action: []string{"s3:PutObject"}, Resource: g.objects(g.t.places().root + "*"),
			Condition: condition{"StringEquals": {"s3:x-amz-acl": {"bucket-owner-full-control"}, sourceARN: {g.t.ARN}}},
		},
	}
}

// insecure keeps everybody from reaching the place without TLS.
func (g grants) insecure() Statement {
	return Statement{
		Sid: "TrailTLSOnly", Effect: deny, Action: []string{"s3:*"}, Resource: g.objects(g.t.places().root + "*"),
		Condition: condition{"Bool": {"aws:SecureTransport": {"false"}}},
	}
}
