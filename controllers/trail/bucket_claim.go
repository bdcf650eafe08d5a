package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

// maxObject bounds what is read back of an owner or of a key.
const maxObject = 64 << 10

// findOwner reads trail-owner.json, which says whose the prefix is. A trail that
// was deleted and created again under the same name is the same owner: it goes
// on where the one before ended.
func (v *visit) findOwner(ctx context.Context) error {
	found, err := v.read(ctx, v.layout().Owner())
	if errors.Is(err, objectstore.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var owner record.Owner
	if json.Unmarshal(found, &owner) == nil && owner.Installation == v.Installation.UID && owner.TrailARN == v.seen.ARN {
		v.claimed = true
		return nil
	}
	return &status.Problem{
		Reason: v1alpha1.ReasonConflict, Stalled: true,
		Message: fmt.Sprintf("The prefix %s in the bucket %s belongs to another trail. Create this trail with another prefix or bucket; the first one keeps it.",
			v.trail.Prefix(), v.trail.Spec.Destination.Bucket),
	}
}

// claimPrefix creates trail-owner.json unless it is there.
func (v *visit) claimPrefix(ctx context.Context) error {
	if v.claimed {
		return nil
	}
	err := v.create(ctx, v.layout().Owner(), record.MustJSON(record.Owner{
		Installation: v.Installation.UID, Trail: string(v.trail.UID), TrailARN: v.seen.ARN,
		CreatedAt: v.Clock.Now().UTC().Format(record.TimeFormat),
	}))
	if errors.Is(err, objectstore.ErrExists) { // somebody was faster
		return v.findOwner(ctx)
	}
	return err
}

// publishKeys puts the public keys beside the digests they verify.
func (v *visit) publishKeys(ctx context.Context) error {
	for _, k := range v.Installation.Keys {
		key, want := v.layout().DigestKey(k.Fingerprint), record.MustJSON(k)
		err := v.create(ctx, key, want)
		if !errors.Is(err, objectstore.ErrExists) {
			if err != nil {
				return err
			}
			continue
		}
		found, err := v.read(ctx, key)
		if err != nil {
			return err
		}
		if !bytes.Equal(found, want) {
			return &status.Problem{
				Reason: v1alpha1.ReasonConflict, Stalled: true,
				Message: fmt.Sprintf("The object %s in the bucket %s is not the public key that it should be: somebody has changed it. Verify with `kubectl trail validate-logs --trust`.",
					key, v.trail.Spec.Destination.Bucket),
			}
		}
	}
	return nil
}

// prove makes sure that the server does to objects what they are written with:
// some take the wish and ignore it. The owner object shows it, or, where that is
// older than the wish, the newest object that was written for this. A server
// that was mended is believed with the next of them.
func (v *visit) prove(ctx context.Context) error {
	if v.desired.Encryption.Type == objectstore.EncryptionNone && v.desired.Retention == (objectstore.DefaultRetention{}) {
		return nil
	}
	owner := v.layout().Owner()
	info, err := v.store.Head(ctx, owner)
	if err != nil || v.lacking(info) == "" {
		return err
	}
	wish := sha256.Sum256(fmt.Appendf(nil, "%v %v", v.desired.Encryption, v.desired.Retention))
	prefix := fmt.Sprintf("%s%x-", proofs(owner), wish[:8])
	newest := ""
	for o, err := range v.store.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		newest = o.Key
	}
	now := v.Clock.Now().UTC()
	if newest != "" {
		if info, err = v.store.Head(ctx, newest); err != nil {
			return err
		}
	}
	if newest == "" || v.lacking(info) != "" && now.Sub(info.Modified) >= recheck {
		newest = prefix + now.Format("20060102T150405Z") + ".json"
		if err := v.create(ctx, newest, record.MustJSON(proof{"It shows that the object store encrypts and retains as asked."})); err != nil {
			return err
		}
		if info, err = v.store.Head(ctx, newest); err != nil {
			return err
		}
	}
	switch v.lacking(info) {
	case bucket.Encryption:
		return status.Ignored(v.trail, v1alpha1.ReasonEncryptionIgnored)
	case bucket.ObjectLock:
		return status.Ignored(v.trail, v1alpha1.ReasonRetentionIgnored)
	}
	return nil
}

// proof is an object that only says what it is for.
type proof struct {
	Purpose string `json:"purpose"`
}

// lacking is the protection that the object was to have and has not.
func (v *visit) lacking(o objectstore.Info) bucket.Feature {
	if !o.Encryption.Meets(v.desired.Encryption) {
		return bucket.Encryption
	}
	asked := objectstore.Retention{Mode: v.desired.Retention.Mode, Until: o.Modified.AddDate(0, 0, v.desired.Retention.Days).Add(-time.Hour)}
	if !o.Retention.Meets(asked) {
		return bucket.ObjectLock
	}
	return ""
}

// create writes a small object as the trail's are written.
func (v *visit) create(ctx context.Context, key string, body []byte) error {
	o := objectstore.PutOptions{ContentType: "application/json", SHA256: sha256.Sum256(body), Encryption: v.desired.Encryption}
	if r := v.desired.Retention; r.Mode != objectstore.RetentionNone {
		o.Retention = objectstore.Retention{Mode: r.Mode, Until: v.Clock.Now().UTC().AddDate(0, 0, r.Days).Truncate(time.Second)}
	}
	return v.store.Create(ctx, key, bytes.NewReader(body), int64(len(body)), o)
}

func (v *visit) read(ctx context.Context, key string) ([]byte, error) {
	body, _, err := v.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxObject))
}
