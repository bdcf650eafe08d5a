package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	// lookBack is how far before its start a chain looks for the chain before it.
	lookBack = 45 * 24 * time.Hour
	// maxDigest bounds the digest of the chain before, uncompressed.
	maxDigest = 64 << 20
)

// resolve ties the first digest of a chain to the end of the chain before it:
// the one this volume knows, else the one the Trail's status knows, else the
// newest in the bucket. Re-creating a trail is then no way to cut its history.
func (d *deliverer) resolve(ctx context.Context) error {
	if d.state.Chain.Resolved {
		return nil
	}
	_, config, layout := d.t.newest()
	var end *record.ChainEnd
	if h := config.LastHead; h != nil {
		end = &record.ChainEnd{ChainID: h.ChainID, Bucket: h.Bucket, Object: h.Object, HashValue: h.HashValue, Signature: h.Signature}
	} else {
		found, err := lastDigest(ctx, d.store, layout, config.Name, d.state.Chain.Start)
		// A store that lets us write but not read leaves the link open; the
		// verifier reports a chain without one.
		if err != nil && !errors.Is(err, objectstore.ErrAccessDenied) {
			return err
		}
		end = found
	}
	return d.update(func(s *outbox.Delivery) {
		s.Chain.PreviousChain, s.Chain.Resolved = end, true
	})
}

// lastDigest reads the newest digest of the trail in the bucket before start.
func lastDigest(ctx context.Context, store objectstore.Store, layout record.Layout, trail string, start time.Time) (*record.ChainEnd, error) {
	newest := ""
	for info, err := range store.List(ctx, layout.Digests(), layout.Digest(trail, start.Add(-lookBack))) {
		if err != nil {
			return nil, err
		}
		if name, ok := record.ParseDigestKey(info.Key); ok && name.Trail == trail && !name.Backfill {
			newest = info.Key
		}
	}
	if newest == "" {
		return nil, nil
	}
	body, info, err := store.Get(ctx, newest)
	if errors.Is(err, objectstore.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var found record.Digest
	end := &record.ChainEnd{Object: newest, Signature: info.Metadata[record.MetadataSignature]}
	// A digest that cannot be read is still named: what stands there is the
	// verifier's finding, not a reason to stop recording.
	if zip, err := gzip.NewReader(body); err == nil {
		raw, err := io.ReadAll(io.LimitReader(zip, maxDigest))
		if err == nil && json.Unmarshal(raw, &found) == nil {
			end.ChainID, end.Bucket, end.HashValue = found.ChainID, found.DigestS3Bucket, record.HexSHA256(raw)
		}
	}
	return end, nil
}
