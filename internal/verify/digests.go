package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// link is one digest of the bucket, without its list of log files.
type link struct {
	key        string
	start, end time.Time
	// d is nil when the object is no digest; then nothing else is known.
	d         *record.Digest
	hash      string
	signature string
	algorithm string
	files     int
	// ok is true when place, key and signature are right.
	ok bool
	// stored is when the bucket took it, as the bucket says.
	stored time.Time
	// lifecycle is what valid digests say that happens to objects, from this one on.
	lifecycle lifecycle
}

// readDigests lists the digests of the range and reads each of them.
func (v *verifier) readDigests(ctx context.Context) error {
	if err := v.listDigests(ctx); err != nil {
		return err
	}
	v.byKey = make(map[string]*link, len(v.links))
	for _, l := range v.links {
		v.byKey[l.key] = l
	}
	v.advance(func(p *Progress) { p.DigestsTotal = len(v.links) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.Workers)
	for _, l := range v.links {
		g.Go(func() error {
			if err := v.readLink(ctx, l); err != nil {
				return fmt.Errorf("reading the digest %q: %w", l.key, err)
			}
			v.advance(func(p *Progress) { p.Digests++; p.LogFilesTotal += l.files })
			return nil
		})
	}
	return g.Wait()
}

// listDigests finds the trail's digests from the first that ends after Start to
// the first that ends at or after End. Their keys sort by time.
func (v *verifier) listDigests(ctx context.Context) error {
	after := ""
	if !v.Start.IsZero() {
		after = v.Layout.Digest(v.Trail, v.Start)
		if err := v.findOldest(ctx); err != nil {
			return err
		}
	}
	v.complete = true
	for info, err := range v.list(ctx, v.Layout.Digests(), after) {
		if err != nil {
			return fmt.Errorf("listing the digests: %w", err)
		}
		end, ok := v.digestEnd(info.Key)
		if !ok {
			v.findings.add(DigestForeign, info.Key, "the object lies among the digests, and its name is not that of a digest of the trail")
			continue
		}
		if len(v.links) == maxDigests {
			return fmt.Errorf("%w: there are more than %d digests; choose a shorter time with --start-time and --end-time", ErrTooLarge, maxDigests)
		}
		v.links = append(v.links, &link{key: info.Key, end: end, stored: info.Modified})
		if !v.End.IsZero() && !end.Before(v.End) {
			v.complete = false
			break
		}
	}
	if len(v.links) == 0 && len(v.Heads) == 0 {
		return fmt.Errorf("%w below %q", ErrNoDigests, v.Layout.Digests())
	}
	if v.oldest.IsZero() && len(v.links) > 0 {
		v.oldest = v.links[0].end
	}
	return nil
}

func (v *verifier) findOldest(ctx context.Context) error {
	for info, err := range v.list(ctx, v.Layout.Digests(), "") {
		if err != nil {
			return fmt.Errorf("listing the digests: %w", err)
		}
		if end, ok := v.digestEnd(info.Key); ok {
			v.oldest = end
			break
		}
	}
	return nil
}

// digestEnd tells when the window of a digest of this trail ends.
func (v *verifier) digestEnd(key string) (time.Time, bool) {
	name, ok := record.ParseDigestKey(key)
	if !ok || v.Layout.Digest(v.Trail, name.End) != key {
		return time.Time{}, false
	}
	return name.End, true
}

func (v *verifier) readLink(ctx context.Context, l *link) error {
	c, err := v.inflate(ctx, l.key, maxDigest, true)
	var d damage
	switch {
	case errors.Is(err, objectstore.ErrNotExist):
		v.findings.add(DigestMissing, l.key, "the digest disappeared while it was validated")
		return nil
	case errors.Is(err, objectstore.ErrArchived):
		return fmt.Errorf("%w; restore it, then validate again", objectstore.ErrArchived)
	case errors.As(err, &d):
		v.findings.add(DigestInvalid, l.key, "the digest cannot be read: %s", d)
		return nil
	case err != nil:
		return err
	}
	parsed, err := parseDigest(c.bytes)
	if err == nil && !parsed.end.Equal(l.end) {
		err = errors.New("its digestEndTime is not that of its name")
	}
	if err != nil {
		v.findings.add(DigestInvalid, l.key, "the digest cannot be read: %s", err)
		return nil
	}
	l.start, l.d, l.files = parsed.start, parsed.digest, len(parsed.digest.LogFiles)
	l.d.LogFiles = nil
	l.hash = c.hash
	l.signature, l.algorithm = c.metadata[record.MetadataSignature], c.metadata[record.MetadataSignatureAlgorithm]
	return nil
}

type parsedDigest struct {
	digest     *record.Digest
	start, end time.Time
}

// maxField bounds the fields of a digest: a signature of the largest key.
const maxField = 1024

// parseDigest reads the JSON of a digest and checks that what verification
// relies on is there and of sane size.
func parseDigest(b []byte) (parsedDigest, error) {
	d := new(record.Digest)
	if err := json.Unmarshal(b, d); err != nil {
		return parsedDigest{}, errors.New("it is not the JSON of a digest")
	}
	start, err := time.Parse(record.TimeFormat, d.DigestStartTime)
	if err != nil {
		return parsedDigest{}, errors.New("its digestStartTime is not a UTC time")
	}
	end, err := time.Parse(record.TimeFormat, d.DigestEndTime)
	if err != nil {
		return parsedDigest{}, errors.New("its digestEndTime is not a UTC time")
	}
	if !end.After(start) {
		return parsedDigest{}, errors.New("it ends before it starts")
	}
	if d.DigestSequence < 1 || d.ChainID == "" {
		return parsedDigest{}, errors.New("it has no digestSequence or chainID")
	}
	previous := []*string{d.PreviousDigestS3Bucket, d.PreviousDigestS3Object, d.PreviousDigestHashValue, d.PreviousDigestHashAlgo, d.PreviousDigestSignature}
	nulls := 0
	for _, p := range previous {
		if p == nil {
			nulls++
		}
	}
	if nulls != 0 && nulls != len(previous) {
		return parsedDigest{}, errors.New("some of its previousDigest fields are null, and some are not")
	}
	fields := []string{d.DigestS3Bucket, d.DigestS3Object, d.DigestPublicKeyFinger, d.ChainID}
	if nulls == 0 {
		if d.PreviousChain != nil {
			return parsedDigest{}, errors.New("it names both a previous digest and a previous chain")
		}
		for _, p := range previous {
			fields = append(fields, *p)
		}
	}
	if c := d.PreviousChain; c != nil {
		fields = append(fields, c.ChainID, c.Bucket, c.Object, c.HashValue, c.Signature)
	}
	if err := checkRules(d.LifecycleRules); err != nil {
		return parsedDigest{}, err
	}
	for _, f := range d.LogFiles {
		fields = append(fields, f.S3Bucket, f.S3Object, f.HashValue, f.HashAlgorithm)
	}
	if slices.ContainsFunc(fields, func(s string) bool { return len(s) > maxField }) {
		return parsedDigest{}, fmt.Errorf("one of its fields is longer than %d bytes", maxField)
	}
	return parsedDigest{d, start, end}, nil
}

// authenticate checks place, key and signature of every digest.
func (v *verifier) authenticate() {
	v.findSignatures()
	for _, l := range slices.Backward(v.links) {
		if l.d == nil {
			continue
		}
		if v.Bucket == "" {
			v.Bucket = l.d.DigestS3Bucket
		}
		key, known := v.keys.known[l.d.DigestPublicKeyFinger]
		switch {
		case l.d.DigestS3Bucket != v.Bucket || l.d.DigestS3Object != l.key:
			v.findings.add(DigestMoved, l.key, "the digest was moved: it was made as s3://%s/%s", l.d.DigestS3Bucket, l.d.DigestS3Object)
		case l.end.After(v.now.Add(settle)):
			v.findings.add(DigestInvalid, l.key, "the digest ends in the future")
		case !known:
			v.findings.add(KeyUnknown, l.key, "the public key with the fingerprint %s is not known", l.d.DigestPublicKeyFinger)
		case !key.signs(l.end):
			v.findings.add(KeyUntrusted, l.key, "the digest is signed with a key that is not trusted (fingerprint %s)", l.d.DigestPublicKeyFinger)
		case l.signature == "":
			v.findings.add(DigestSignature, l.key, "the digest has no signature: neither metadata nor a newer digest has it")
		case l.d.DigestSignatureAlgorithm != record.SignatureAlgorithm || l.algorithm != record.SignatureAlgorithm:
			v.findings.add(DigestSignature, l.key, "the digest is not signed with %s", record.SignatureAlgorithm)
		case key.Verify(l.d.StringToSign(l.hash), l.signature) != nil:
			v.findings.add(DigestSignature, l.key, "signature verification failed")
		default:
			l.ok = true
		}
	}
}

// findSignatures takes the signatures that a copy has lost from where they also
// stand: in the next digest, and in the heads.
func (v *verifier) findSignatures() {
	if !v.DetachedSignatures {
		return
	}
	elsewhere := map[string]string{}
	for i := range v.Heads {
		elsewhere[v.Heads[i].Object] = v.Heads[i].Signature
	}
	for _, l := range slices.Backward(v.links) {
		if l.d == nil {
			continue
		}
		if l.signature == "" && l.algorithm == "" {
			l.signature, l.algorithm = elsewhere[l.key], l.d.DigestSignatureAlgorithm
		}
		if before := l.before(); before != nil {
			elsewhere[before.Object] = before.Signature
		}
	}
}

// before is what the digest says about the one before it, in its own chain or
// at the end of the chain before; nil when there was none.
func (l *link) before() *record.ChainEnd {
	if l.d.PreviousDigestS3Object != nil {
		return &record.ChainEnd{
			ChainID: l.d.ChainID, Bucket: *l.d.PreviousDigestS3Bucket,
			Object: *l.d.PreviousDigestS3Object, HashValue: *l.d.PreviousDigestHashValue, Signature: *l.d.PreviousDigestSignature,
		}
	}
	return l.d.PreviousChain
}
