// Package digest builds digest files: the signed, chained lists of what was
// delivered. It is pure: the same input always gives the same bytes.
package digest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Signer signs digests; signing.PrivateKey is one.
type Signer interface {
	// Sign returns the signature of message in lower-case hex.
	Sign(message []byte) (string, error)
	// Fingerprint and Trust name the public key, see record.Head.
	Fingerprint() string
	Trust() string
}

// Previous is what a digest says about the one before it in its chain.
type Previous struct {
	Bucket, Object       string
	HashValue, Signature string // hex, as Output gives them
}

// Input is everything that a digest is made of.
type Input struct {
	Layout record.Layout
	Trail  string // CloudTrail name of the trail
	Bucket string
	Window Window
	// Sequence counts the digests of the chain from 1.
	Sequence int64
	ChainID  string
	// Previous is the digest before it in the chain; nil exactly for the first.
	Previous *Previous
	// PreviousChain is how the chain before this one ended. Only the first
	// digest of a chain has one, and only where there was a chain before.
	PreviousChain *record.ChainEnd
	// Final marks the last digest of a chain.
	Final bool
	// Lifecycle are the rules that the destination has.
	Lifecycle []record.LifecycleRule
	// Files are the log files that were delivered in the window, in any order.
	Files  []record.DigestLogFile
	Signer Signer
}

// Output is a digest, ready to be stored.
type Output struct {
	Key          string // of the object
	Uncompressed []byte // the JSON that is signed
	Compressed   []byte // gzip of it: the object's body
	Metadata     map[string]string
	HashValue    string // hex SHA-256 of Uncompressed
	Signature    string // hex
	Head         record.Head
}

// Previous returns what the next digest of the chain says about this one.
func (o *Output) Previous() *Previous {
	return &Previous{Bucket: o.Head.Bucket, Object: o.Key, HashValue: o.HashValue, Signature: o.Signature}
}

// ChainEnd returns what the first digest of the next chain says about this one.
func (o *Output) ChainEnd() *record.ChainEnd {
	return &record.ChainEnd{ChainID: o.Head.ChainID, Bucket: o.Head.Bucket, Object: o.Key, HashValue: o.HashValue, Signature: o.Signature}
}

// Build makes and signs a digest. An error means that the input contradicts
// itself, or that signing failed.
func Build(in Input) (Output, error) {
	if err := in.check(); err != nil {
		return Output{}, fmt.Errorf("building a digest of %s: %w", in.Trail, err)
	}
	d := in.digest()
	key := d.DigestS3Object
	uncompressed := record.MustJSON(d)
	hash := record.HexSHA256(uncompressed)
	signature, err := in.Signer.Sign(d.StringToSign(hash))
	if err != nil {
		return Output{}, fmt.Errorf("building the digest %s: %w", key, err)
	}
	compressed, err := compress(uncompressed)
	if err != nil {
		return Output{}, fmt.Errorf("building the digest %s: %w", key, err)
	}
	return Output{
		Key:          key,
		Uncompressed: uncompressed,
		Compressed:   compressed,
		Metadata: map[string]string{
			record.MetadataSignature:          signature,
			record.MetadataSignatureAlgorithm: record.SignatureAlgorithm,
		},
		HashValue: hash,
		Signature: signature,
		Head: record.Head{
			TrailARN:    record.TrailARN(in.Layout.Region, in.Layout.Account, in.Trail),
			ChainID:     in.ChainID,
			Sequence:    in.Sequence,
			Bucket:      in.Bucket,
			Object:      key,
			HashValue:   hash,
			Signature:   signature,
			EndTime:     d.DigestEndTime,
			Final:       in.Final,
			Fingerprint: in.Signer.Fingerprint(),
			Trust:       in.Signer.Trust(),
		},
	}, nil
}

func (in *Input) check() error {
	switch {
	case in.Trail == "" || in.Bucket == "" || in.ChainID == "":
		return errors.New("trail, bucket and chain must be named")
	case !in.Window.End.After(in.Window.Start):
		return errors.New("its window must end after it starts")
	case in.Sequence < 1 || (in.Sequence == 1) != (in.Previous == nil):
		return errors.New("exactly the first digest of a chain has no digest before it")
	case in.Previous != nil && in.PreviousChain != nil:
		return errors.New("only the first digest of a chain follows another chain")
	}
	seen := make(map[string]bool, len(in.Files))
	for i := range in.Files {
		f := &in.Files[i]
		if seen[f.S3Object] {
			return fmt.Errorf("log file %s is listed twice", f.S3Object)
		}
		seen[f.S3Object] = true
		for _, t := range []string{f.NewestEventTime, f.OldestEventTime} {
			// Parse lets fractions pass, which would not compare as strings.
			if parsed, err := time.Parse(record.TimeFormat, t); err != nil || parsed.Format(record.TimeFormat) != t {
				return fmt.Errorf("log file %s has no event times", f.S3Object)
			}
		}
	}
	return nil
}

func (in *Input) digest() *record.Digest {
	d := &record.Digest{
		AWSAccountID:             in.Layout.Account,
		DigestStartTime:          in.Window.Start.UTC().Format(record.TimeFormat),
		DigestEndTime:            in.Window.End.UTC().Format(record.TimeFormat),
		DigestS3Bucket:           in.Bucket,
		DigestS3Object:           in.Layout.Digest(in.Trail, in.Window.End),
		DigestPublicKeyFinger:    in.Signer.Fingerprint(),
		DigestSignatureAlgorithm: record.SignatureAlgorithm,
		// Readers expect a list, also an empty one.
		LogFiles:       append([]record.DigestLogFile{}, in.Files...),
		DigestSequence: in.Sequence,
		ChainID:        in.ChainID,
		PreviousChain:  in.PreviousChain,
		Final:          in.Final,
		LifecycleRules: in.Lifecycle,
	}
	slices.SortFunc(d.LogFiles, func(a, b record.DigestLogFile) int { return cmp.Compare(a.S3Object, b.S3Object) })
	for i := range d.LogFiles {
		// Times of one fixed-width format compare as strings.
		if f := &d.LogFiles[i]; d.NewestEventTime == nil || f.NewestEventTime > *d.NewestEventTime {
			d.NewestEventTime = &f.NewestEventTime
		}
		if f := &d.LogFiles[i]; d.OldestEventTime == nil || f.OldestEventTime < *d.OldestEventTime {
			d.OldestEventTime = &f.OldestEventTime
		}
	}
	if p := in.Previous; p != nil {
		algorithm := record.HashAlgorithm
		d.PreviousDigestS3Bucket, d.PreviousDigestS3Object = &p.Bucket, &p.Object
		d.PreviousDigestHashValue, d.PreviousDigestHashAlgo = &p.HashValue, &algorithm
		d.PreviousDigestSignature = &p.Signature
	}
	return d
}

func compress(b []byte) ([]byte, error) {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
