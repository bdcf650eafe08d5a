package manifests

import (
	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Credentials write to a bucket. Ambient ones are those of the operator itself.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string

	Ambient bool
}

// Reach says how far the dialer may go for a trail.
type Reach struct {
	AllowPrivate bool
	DenyHosts    []string
}

// Trail builds the receiver's file of a trail. Its Selection is that of the
// spec, and its Lifecycle is left to whoever knows the bucket.
func Trail(t *v1alpha1.Trail, in receiverconfig.Installation, c Credentials, r Reach) receiverconfig.Trail {
	return receiverconfig.Trail{
		UID:               string(t.UID),
		Name:              t.CloudTrailName(),
		Namespace:         t.Namespace,
		ARN:               record.TrailARN(in.Region, in.Account, t.CloudTrailName()),
		Generation:        t.Generation,
		Suspended:         t.Spec.Suspend,
		Destination:       destination(t, c, r),
		Selection:         t.Selection(),
		LogFileValidation: t.Spec.LogFileValidation.IsEnabled(),
		MaxFileAgeSeconds: t.Spec.Delivery.FileAgeSeconds(),
		MaxFileSizeMiB:    t.Spec.Delivery.FileSizeMiB(),
		LastHead:          Head(t.Status.Head),
	}
}

// Layout builds the keys of a trail's objects. Those of an OrganizationTrail
// carry the organization ID, if the installation has one.
func Layout(t *v1alpha1.Trail, in receiverconfig.Installation) record.Layout {
	l := record.Layout{Prefix: t.Prefix(), Account: in.Account, Region: in.Region}
	if t.IsOrganizationTrail() {
		l.Organization = in.Organization
	}
	return l
}

func destination(t *v1alpha1.Trail, c Credentials, r Reach) receiverconfig.Destination {
	d := t.Spec.Destination
	out := receiverconfig.Destination{
		Endpoint: d.Endpoint, Bucket: d.Bucket, Region: d.RegionOrDefault(), Prefix: t.Prefix(),
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Ambient:      c.Ambient,
		PathStyle:    d.AddressingStyle == v1alpha1.AddressingPath,
		AllowPrivate: r.AllowPrivate, DenyHosts: r.DenyHosts,
	}
	if e := bucket.EncryptionOf(d); e.Type != "" {
		out.Encryption = receiverconfig.Encryption{Type: string(e.Type), KMSKeyID: e.KMSKeyID}
	}
	if l := bucket.RetentionOf(d); d.ObjectLock != nil {
		out.Retention = receiverconfig.Retention{Mode: string(l.Mode), Days: d.ObjectLock.Days}
	}
	if d.CA != "" {
		out.CA = []byte(d.CA)
	}
	return out
}

// Head is a head as a status keeps it; nil for none.
func Head(h *v1alpha1.DigestHead) *record.Head {
	if h == nil {
		return nil
	}
	return &record.Head{
		TrailARN: h.TrailARN, ChainID: h.ChainID, Sequence: h.Sequence, Bucket: h.S3Bucket, Object: h.S3Object,
		HashValue: h.HashValue, Signature: h.Signature, EndTime: h.EndTime, Final: h.Final,
		Fingerprint: h.PublicKeyFingerprint, Trust: h.PublicKeySHA256,
	}
}
