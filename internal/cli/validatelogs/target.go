package validatelogs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
)

// choose fills in what is validated, and returns what to call at the end.
func (o *options) choose(ctx context.Context, args []string, q *verify.Options) (done func(), err error) {
	done = func() {}
	var place objectstore.Config
	if len(args) == 1 {
		if place, err = o.fromCluster(ctx, args[0], q); err != nil {
			return nil, err
		}
	} else {
		q.Bucket, q.Trail = o.bucket, o.trail
		q.Layout = record.Layout{Prefix: strings.Trim(o.prefix, "/"), Organization: o.organization, Account: o.account, Region: o.region}
		place = objectstore.Config{Endpoint: o.endpoint, Bucket: o.bucket, Region: o.bucketRegion}
	}
	if o.dir == "" {
		q.Reader, err = o.openBucket(ctx, place)
		return done, err
	}
	folder, err := verify.OpenFolder(o.dir)
	if err != nil {
		return nil, err
	}
	done = folder.Close
	q.Reader, q.DetachedSignatures = folder, true
	if len(args) == 0 {
		if err := o.find(ctx, folder, q); err != nil {
			done()
			return nil, err
		}
	}
	return done, nil
}

// fromCluster takes everything from the Trail and the installation's keys.
func (o *options) fromCluster(ctx context.Context, name string, q *verify.Options) (objectstore.Config, error) {
	t, err := kube.Trail(ctx, o.cluster, name)
	if err != nil {
		return objectstore.Config{}, err
	}
	q.Bucket = t.Spec.Destination.Bucket
	if q.Layout, q.Trail, err = kube.Place(ctx, o.cluster, t, o.operatorNamespace); err != nil {
		return objectstore.Config{}, err
	}
	if t.Status.Head != nil {
		h, err := headOf(t.Status.Head)
		if err != nil {
			return objectstore.Config{}, err
		}
		q.Heads = append(q.Heads, h)
	}
	if q.Keys, err = o.publicKeys(ctx); err != nil {
		return objectstore.Config{}, err
	}
	d := &t.Spec.Destination
	return objectstore.Config{Endpoint: d.Endpoint, Region: d.Region, Bucket: d.Bucket, CA: []byte(d.CA)}, nil
}

// headOf gives the head of a status the form of an anchor; their JSON is the same.
func headOf(h *v1alpha1.DigestHead) (record.Head, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return record.Head{}, err
	}
	return decodeHead(b)
}

// publicKeys reads the keys that the installation has published in the cluster.
// Whoever may not read them validates against those of the bucket, which the
// head pins.
func (o *options) publicKeys(ctx context.Context) ([]record.PublishedKey, error) {
	cl, err := o.cluster.Client()
	if err != nil {
		return nil, err
	}
	var m corev1.ConfigMap
	if err := cl.Get(ctx, client.ObjectKey{Namespace: o.operatorNamespace, Name: manifests.DigestKeysName}, &m); err != nil {
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		why := kube.Request{Verb: "get", Resource: "configmaps", Namespace: o.operatorNamespace, Name: manifests.DigestKeysName}.Explain(err)
		fmt.Fprintf(o.streams.ErrOut, "warning: the public keys of the cluster cannot be read, so those of the bucket are used: %s\n", why)
		return nil, nil
	}
	var keys []record.PublishedKey
	for name, value := range m.Data {
		var k record.PublishedKey
		if json.Unmarshal([]byte(value), &k) != nil {
			return nil, fmt.Errorf("the ConfigMap %s holds a damaged public key %q; restart the manager, which writes it again", manifests.DigestKeysName, name)
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b record.PublishedKey) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	return keys, nil
}

// find looks for the trail in a folder; the flags narrow the search.
func (o *options) find(ctx context.Context, folder *verify.Folder, q *verify.Options) error {
	targets, err := verify.Discover(ctx, folder)
	if err != nil {
		return err
	}
	fits := func(flag, value string) bool { return flag == "" || flag == value }
	targets = slices.DeleteFunc(targets, func(t verify.Target) bool {
		return !fits(o.trail, t.Trail) || !fits(o.account, t.Layout.Account) || !fits(o.region, t.Layout.Region) ||
			!fits(o.organization, t.Layout.Organization) || !fits(q.Layout.Prefix, t.Layout.Prefix)
	})
	switch len(targets) {
	case 0:
		return errors.New("the folder holds no digests of such a trail; it must be laid out like the bucket, as `aws s3 sync` leaves it")
	case 1:
		q.Layout, q.Trail = targets[0].Layout, targets[0].Trail
		return nil
	}
	var names []string
	for _, t := range targets[:min(len(targets), 5)] {
		names = append(names, fmt.Sprintf("%q (prefix %q, account %s, region %s)", t.Trail, t.Layout.Prefix, t.Layout.Account, t.Layout.Region))
	}
	return fmt.Errorf("the folder holds %d trails; choose one with --trail, --prefix, --account or --region: %s", len(targets), strings.Join(names, ", "))
}

// maxHead bounds the anchor file.
const maxHead = 64 << 10

func readHead(path string) (record.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return record.Head{}, fmt.Errorf("reading the head: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHead+1))
	if err != nil {
		return record.Head{}, fmt.Errorf("reading the head: %w", err)
	}
	h, err := decodeHead(b)
	if err != nil || len(b) > maxHead {
		return record.Head{}, fmt.Errorf("%s does not hold what `kubectl trail head` prints", path)
	}
	return h, nil
}

func decodeHead(b []byte) (record.Head, error) {
	var h record.Head
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&h)
	return h, err
}
