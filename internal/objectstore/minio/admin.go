package minio

import (
	"context"
	"encoding/xml"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

var _ objectstore.ManagedOpener = NewManaged

// NewManaged is New for a bucket whose settings are looked after, too.
func NewManaged(cfg objectstore.Config) (objectstore.Managed, error) {
	s, err := open(cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// CreateLockedBucket implements objectstore.Admin.
func (s *store) CreateLockedBucket(ctx context.Context) error {
	return s.createBucket(ctx, minio.MakeBucketOptions{Region: s.region, ObjectLocking: true})
}

type versioningDocument struct {
	XMLName xml.Name               `xml:"VersioningConfiguration"`
	XMLNS   string                 `xml:"xmlns,attr,omitempty"`
	Status  objectstore.Versioning `xml:"Status,omitempty"`
}

// Versioning implements objectstore.Admin.
func (s *store) Versioning(ctx context.Context) (objectstore.Versioning, error) {
	var d versioningDocument
	if err := s.readXML(ctx, versioning, &d); err != nil {
		return "", err
	}
	switch d.Status {
	case objectstore.VersioningOff, objectstore.VersioningEnabled, objectstore.VersioningSuspended:
		return d.Status, nil
	}
	return "", &objectstore.Error{Op: objectstore.OpGetVersioning, Err: errAnswer}
}

// SetVersioning implements objectstore.Admin.
func (s *store) SetVersioning(ctx context.Context, v objectstore.Versioning) error {
	return s.writeXML(ctx, versioning, versioningDocument{XMLNS: namespace, Status: v})
}

type encryptionDocument struct {
	XMLName xml.Name         `xml:"ServerSideEncryptionConfiguration"`
	XMLNS   string           `xml:"xmlns,attr,omitempty"`
	Rules   []encryptionRule `xml:"Rule"`
}

type encryptionRule struct {
	Algorithm objectstore.EncryptionType `xml:"ApplyServerSideEncryptionByDefault>SSEAlgorithm"`
	Key       string                     `xml:"ApplyServerSideEncryptionByDefault>KMSMasterKeyID,omitempty"`
	BucketKey bool                       `xml:"BucketKeyEnabled,omitempty"`
}

// DefaultEncryption implements objectstore.Admin.
func (s *store) DefaultEncryption(ctx context.Context) (objectstore.DefaultEncryption, error) {
	var d encryptionDocument
	if err := s.readXML(ctx, encryption, &d); err != nil || len(d.Rules) == 0 {
		return objectstore.DefaultEncryption{}, err
	}
	r := d.Rules[0]
	e, ok := describeEncryption(string(r.Algorithm), r.Key)
	if !ok || len(d.Rules) > 1 {
		return objectstore.DefaultEncryption{}, &objectstore.Error{Op: objectstore.OpGetEncryption, Err: errAnswer}
	}
	return objectstore.DefaultEncryption{Encryption: e, BucketKey: r.BucketKey}, nil
}

// SetDefaultEncryption implements objectstore.Admin.
func (s *store) SetDefaultEncryption(ctx context.Context, e objectstore.DefaultEncryption) error {
	if err := e.Check(); err != nil {
		return &objectstore.Error{Op: objectstore.OpSetEncryption, Err: err}
	}
	if e.Type == objectstore.EncryptionNone {
		before, err := s.DefaultEncryption(ctx)
		if err != nil || before.Type == objectstore.EncryptionNone {
			return err
		}
		return s.remove(ctx, encryption)
	}
	return s.writeXML(ctx, encryption, encryptionDocument{
		XMLNS: namespace, Rules: []encryptionRule{{Algorithm: e.Type, Key: e.KMSKeyID, BucketKey: e.BucketKey}},
	})
}

type objectLockDocument struct {
	XMLName xml.Name          `xml:"ObjectLockConfiguration"`
	XMLNS   string            `xml:"xmlns,attr,omitempty"`
	Enabled string            `xml:"ObjectLockEnabled"`
	Default *defaultRetention `xml:"Rule>DefaultRetention"`
}

type defaultRetention struct {
	Mode  objectstore.RetentionMode `xml:"Mode"`
	Days  int                       `xml:"Days,omitempty"`
	Years int                       `xml:"Years,omitempty"`
}

// ObjectLock implements objectstore.Admin.
func (s *store) ObjectLock(ctx context.Context) (objectstore.ObjectLock, error) {
	var d objectLockDocument
	if err := s.readXML(ctx, objectLock, &d); err != nil {
		return objectstore.ObjectLock{}, err
	}
	l := objectstore.ObjectLock{Enabled: d.Enabled == "Enabled"}
	if d.Default != nil {
		l.Default = objectstore.DefaultRetention(*d.Default)
	}
	if l.Default.Check() != nil {
		return objectstore.ObjectLock{}, &objectstore.Error{Op: objectstore.OpGetObjectLock, Err: errAnswer}
	}
	return l, nil
}

// SetDefaultRetention implements objectstore.Admin.
func (s *store) SetDefaultRetention(ctx context.Context, r objectstore.DefaultRetention) error {
	if err := r.Check(); err != nil {
		return &objectstore.Error{Op: objectstore.OpSetObjectLock, Err: err}
	}
	d := objectLockDocument{XMLNS: namespace, Enabled: "Enabled"}
	if r != (objectstore.DefaultRetention{}) {
		d.Default = (*defaultRetention)(&r)
	}
	return s.writeXML(ctx, objectLock, d)
}

type taggingDocument struct {
	XMLName xml.Name `xml:"Tagging"`
	XMLNS   string   `xml:"xmlns,attr,omitempty"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

type tag struct {
	Key   string `xml:"Key"`
	Value string `xml:"Value"`
}

// Tags implements objectstore.Admin.
func (s *store) Tags(ctx context.Context) (map[string]string, error) {
	var d taggingDocument
	if err := s.readXML(ctx, tagging, &d); err != nil {
		return nil, err
	}
	tags := make(map[string]string, len(d.Tags))
	for _, t := range d.Tags {
		tags[t.Key] = t.Value
	}
	if len(tags) > objectstore.MaxTags || len(tags) != len(d.Tags) {
		return nil, &objectstore.Error{Op: objectstore.OpGetTags, Err: errAnswer}
	}
	return tags, nil
}

// SetTags implements objectstore.Admin.
func (s *store) SetTags(ctx context.Context, set map[string]string, remove []string) error {
	before, err := s.Tags(ctx)
	if err != nil {
		return err
	}
	merged, err := objectstore.MergeTags(before, set, remove)
	if err != nil {
		return &objectstore.Error{Op: objectstore.OpSetTags, Err: err}
	}
	switch {
	case maps.Equal(before, merged):
		return nil
	case len(merged) == 0:
		err = s.remove(ctx, tagging)
	default:
		d := taggingDocument{XMLNS: namespace}
		for _, k := range slices.Sorted(maps.Keys(merged)) {
			d.Tags = append(d.Tags, tag{k, merged[k]})
		}
		err = s.writeXML(ctx, tagging, d)
	}
	if err != nil {
		return err
	}
	after, err := s.Tags(ctx)
	if err == nil && !maps.Equal(after, merged) {
		err = &objectstore.Error{Op: objectstore.OpSetTags, Err: objectstore.ErrChanged}
	}
	return err
}

// Policy implements objectstore.Admin.
func (s *store) Policy(ctx context.Context) (string, error) {
	document, _, err := s.read(ctx, policy)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(document))
	switch {
	case strings.HasPrefix(text, "<"):
		return "", &objectstore.Error{Op: objectstore.OpGetPolicy, Err: unexpected(document)}
	case !utf8.ValidString(text) || objectstore.CheckPolicy(text) != nil:
		return "", &objectstore.Error{Op: objectstore.OpGetPolicy, Err: errAnswer}
	}
	return text, nil
}

// SetPolicy implements objectstore.Admin.
func (s *store) SetPolicy(ctx context.Context, document string) error {
	if err := objectstore.CheckPolicy(document); err != nil {
		return &objectstore.Error{Op: objectstore.OpSetPolicy, Err: err}
	}
	if document != "" {
		return s.write(ctx, policy, []byte(document), nil)
	}
	before, err := s.Policy(ctx)
	if err != nil || before == "" {
		return err
	}
	return s.remove(ctx, policy)
}
