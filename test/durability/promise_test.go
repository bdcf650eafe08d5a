package durability

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// promise suspends the trail and checks that each acknowledged event is in
// exactly one log file, each log file in exactly one digest, that the digests
// form a valid chain, and that nothing else is there.
func (w *world) promise() {
	w.t.Helper()
	status := w.suspend()
	w.exactlyOnce()
	w.listedOnce()
	w.valid(status)
	n := int64(len(w.ledger.acked))
	if c := status.Counts; c.Accepted != n || c.Delivered != n || c.Pending != 0 {
		w.t.Errorf("%d events were acknowledged; the receiver counts %+v", n, c)
	}
	w.t.Logf("%d events in the bucket after %d kills", n, w.deaths())
	if w.t.Failed() {
		w.t.Log(w.log())
	}
}

// objects decodes every object whose key is wanted.
func objects[T any](w *world, wanted func(key string) bool) map[string]T {
	w.t.Helper()
	found := map[string]T{}
	for info, err := range w.bucket.List(w.ctx, "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		if !wanted(info.Key) {
			continue
		}
		body, _, err := w.bucket.Get(w.ctx, info.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		var v T
		zip, err := gzip.NewReader(body)
		if err == nil {
			err = json.NewDecoder(zip).Decode(&v)
		}
		if err != nil {
			w.t.Errorf("%s: %v", info.Key, err)
		}
		_ = body.Close()
		found[info.Key] = v
	}
	return found
}

// logFile is the part of a log file that is checked.
type logFile struct {
	Records []struct {
		EventName string `json:"eventName"`
		RequestID string `json:"requestID"`
	} `json:"Records"`
}

func (w *world) exactlyOnce() {
	w.t.Helper()
	times := map[string]int{}
	for key, f := range objects[logFile](w, record.IsLogFileKey) {
		for _, r := range f.Records {
			times[r.RequestID]++
			if !w.ledger.acked[r.RequestID] {
				w.t.Errorf("%s holds %s %q, which nobody sent", key, r.EventName, r.RequestID)
			}
		}
	}
	lost, twice := 0, 0
	for id := range w.ledger.acked {
		switch n := times[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost > 0 || twice > 0 {
		w.t.Errorf("of %d acknowledged events %d are lost and %d delivered more than once", len(w.ledger.acked), lost, twice)
	}
}

func (w *world) listedOnce() {
	w.t.Helper()
	isDigest := func(key string) bool { _, ok := record.ParseDigestKey(key); return ok }
	listed := map[string]int{}
	for _, d := range objects[record.Digest](w, isDigest) {
		for _, f := range d.LogFiles {
			listed[f.S3Object]++
		}
	}
	for info, err := range w.bucket.List(w.ctx, "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		switch {
		case record.IsLogFileKey(info.Key):
			if n := listed[info.Key]; n != 1 {
				w.t.Errorf("%s is listed in %d digests", info.Key, n)
			}
			delete(listed, info.Key)
		case !isDigest(info.Key):
			w.t.Errorf("%s is neither a log file nor a digest", info.Key)
		}
	}
	for key := range listed {
		w.t.Errorf("%s is listed and not there", key)
	}
}

// valid runs the verifier that users run.
func (w *world) valid(status receiverstatus.Trail) {
	w.t.Helper()
	key, err := signing.Publish(w.in.Key.Public(), time.Now().Add(-time.Hour), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	o := verify.Options{
		Reader: w.bucket, Bucket: w.trail().Destination.Bucket, Trail: w.trail().Name,
		Layout: record.Layout{Prefix: w.trail().Destination.Prefix, Account: testenv.Account, Region: testenv.Region},
		Keys:   []record.PublishedKey{key}, Trust: w.in.Key.Public().Trust(),
	}
	if status.Head != nil {
		o.Heads = []record.Head{*status.Head}
	}
	result, err := verify.Run(w.ctx, o)
	if err != nil {
		w.t.Fatal(err)
	}
	if !result.Valid || result.Undigested != 0 || !result.HeadChecked {
		w.t.Errorf("the trail is not valid: %s", record.MustJSON(result))
	}
	for _, g := range result.Gaps {
		if !g.Closed {
			w.t.Errorf("a chain was cut at %s", g.From)
		}
	}
	w.t.Logf("valid: %d digests, %d log files; %s", result.Digests.Valid, result.LogFiles.Valid, strings.Join(result.Notes, " "))
}
