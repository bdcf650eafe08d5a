package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/verify"
)

func (s *reached) Create(ctx context.Context, key string, body io.ReadSeeker, size int64, o objectstore.PutOptions) error {
	if err := s.hook(); err != nil {
		return err
	}
	return s.Store.Create(ctx, key, body, size, o)
}

func (s *reached) Head(ctx context.Context, key string) (objectstore.Info, error) {
	if err := s.hook(); err != nil {
		return objectstore.Info{}, err
	}
	return s.Store.Head(ctx, key)
}

func (s *reached) List(ctx context.Context, prefix, after string) iter.Seq2[objectstore.Info, error] {
	if err := s.hook(); err != nil {
		return func(yield func(objectstore.Info, error) bool) { yield(objectstore.Info{}, err) }
	}
	return s.Store.List(ctx, prefix, after)
}

// flush suspends all trails and waits until everything is in the bucket.
func (w *world) flush() {
	w.t.Helper()
	for i := range w.trails {
		w.trails[i].Suspended = true
		w.trails[i].Generation++
	}
	w.apply()
	w.until("flush", func() bool {
		trails := w.pipeline.Status().Trails
		for _, t := range trails {
			if !t.Flushed {
				return false
			}
		}
		return len(trails) == len(w.trails)
	})
	if w.isDead() {
		w.t.Fatalf("the receiver died: %s", w.logs)
	}
}

// contents decodes the objects of a kind below the prefix of a trail.
func contents[T any](w *world, namespace string, wanted func(key string) bool) map[string]T {
	w.t.Helper()
	found := map[string]T{}
	for key, o := range w.bucket.Objects() {
		if !strings.HasPrefix(key, namespace+"/") || !wanted(key) {
			continue
		}
		var v T
		zip, err := gzip.NewReader(bytes.NewReader(o.Body))
		if err == nil {
			err = json.NewDecoder(zip).Decode(&v)
		}
		if err != nil {
			w.t.Errorf("%s: %v", key, err)
		}
		found[key] = v
	}
	return found
}

func isDigest(key string) bool { _, ok := record.ParseDigestKey(key); return ok }

// delivered counts the records of a trail by request ID. Those of our own have none.
func (w *world) delivered(namespace string) map[string]int {
	w.t.Helper()
	times := map[string]int{}
	for _, f := range contents[record.LogFile](w, namespace, record.IsLogFileKey) {
		for _, r := range f.Records {
			times[r.RequestID]++
		}
	}
	return times
}

// losses returns the causes of the EventsLost records of a trail.
func (w *world) losses(namespace string) (causes []string) {
	w.t.Helper()
	for _, f := range contents[logFile](w, namespace, record.IsLogFileKey) {
		for _, r := range f.Records {
			if r.EventName == record.EventEventsLost {
				causes = append(causes, string(r.ServiceEventDetails))
			}
		}
	}
	slices.Sort(causes)
	return causes
}

// logFile is a log file whose details are not interpreted.
type logFile struct {
	Records []struct {
		EventName           string          `json:"eventName"`
		ServiceEventDetails json.RawMessage `json:"serviceEventDetails"`
	} `json:"Records"`
}

// promise flushes and checks that everything that was acknowledged is there once.
func (w *world) promise() {
	w.t.Helper()
	w.send("red", 1)
	w.resend()
	w.until("a delivery", func() bool { return w.status("red").Counts.Delivered > 0 }) // and with it a chain
	w.flush()
	w.exactlyOnce("red")
	w.valid("red")
	if c := w.status("red").Counts; c.Accepted != c.Delivered || c.Pending != 0 {
		w.t.Errorf("the account is %+v", c)
	}
}

func (w *world) exactlyOnce(namespace string) {
	w.t.Helper()
	times := w.delivered(namespace)
	lost, twice := w.missing(times), 0
	for id, n := range times {
		switch {
		case !w.sent[id]:
			w.t.Errorf("%q was delivered, and nobody sent it", id)
		case n > 1:
			twice++
		}
	}
	if len(lost) > 0 || twice > 0 {
		w.t.Errorf("of %d acknowledged events %d are lost and %d delivered more than once", len(w.acked), len(lost), twice)
	}
}

func (w *world) missing(times map[string]int) (lost []string) {
	for _, id := range slices.Sorted(maps.Keys(w.acked)) {
		if times[id] == 0 {
			lost = append(lost, id)
		}
	}
	return lost
}

// valid checks that each log file is listed in one digest, and what users' verifier says.
func (w *world) valid(namespace string) {
	w.t.Helper()
	listed := map[string]int{}
	for _, d := range contents[record.Digest](w, namespace, isDigest) {
		for _, f := range d.LogFiles {
			listed[f.S3Object]++
		}
	}
	for key := range w.bucket.Objects() {
		if !strings.HasPrefix(key, namespace+"/") || isDigest(key) {
			continue
		}
		if listed[key] != 1 {
			w.t.Errorf("%s is listed in %d digests", key, listed[key])
		}
		delete(listed, key)
	}
	for key := range listed {
		w.t.Errorf("%s is listed and not there", key)
	}
	result := w.verify(namespace)
	if !result.Valid || !result.HeadChecked {
		w.t.Errorf("the trail is not valid: %s", record.MustJSON(result))
	}
}

func (w *world) verify(namespace string) *verify.Result {
	w.t.Helper()
	public, err := signing.Publish(w.key.Public(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	o := verify.Options{
		Reader: w.bucket, Bucket: "bucket", Trail: namespace + ".all",
		Layout: record.Layout{Prefix: namespace, Account: account, Region: region},
		Keys:   []record.PublishedKey{public}, Trust: w.key.Public().Trust(), Clock: w,
	}
	if head := w.status(namespace).Head; head != nil {
		o.Heads = []record.Head{*head}
	}
	result, err := verify.Run(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}
