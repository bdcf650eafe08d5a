package pipeline

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// kept lists what is kept of a kind.
func (b *bench) kept(kind string) (list []receiverstatus.Kept) {
	b.t.Helper()
	if err := b.p.Kept(kind, "", "", func(k receiverstatus.Kept) error { list = append(list, k); return nil }); err != nil {
		b.t.Fatal(err)
	}
	if !slices.IsSortedFunc(list, func(x, y receiverstatus.Kept) int { return strings.Compare(x.ID, y.ID) }) {
		b.t.Errorf("the list is not in the order of IDs: %+v", list)
	}
	return list
}

// alone requires that each is the same alone as in the list. Nothing must happen
// meanwhile.
func (b *bench) alone(list []receiverstatus.Kept) {
	b.t.Helper()
	for _, k := range list {
		one, err := b.p.KeptOne(k.ID)
		if err != nil || one == nil || string(record.MustJSON(one)) != string(record.MustJSON(k)) {
			b.t.Errorf("%+v alone is %+v, %v", k, one, err)
		}
	}
}

// events of one file, and a quota that a few such files fill. Those with records
// of our own, which tell of the loss, are small beside them.
const (
	perFile    = 150
	smallQuota = 40_000
)

// fill lets files expire in a bucket that is away until so many are kept and
// nothing more happens.
func (b *bench) fill(namespace string, files int) {
	b.t.Helper()
	b.reachable(namespace, false)
	for b.status(namespace).ExpiredFiles < files {
		accepted := b.status(namespace).Counts.Accepted
		b.post(namespace, perFile)
		b.until("a file", func() bool { return b.status(namespace).Counts.Accepted >= accepted+perFile })
		b.rest(namespace)
	}
}

// rest waits until nothing more happens in a trail.
func (b *bench) rest(namespace string) {
	b.t.Helper()
	last, same := "", 0
	b.until("rest", func() bool {
		s := b.status(namespace)
		now := fmt.Sprint(s.Counts, s.PendingFiles, s.ExpiredFiles)
		if same++; now != last {
			last, same = now, 0
		}
		return same > 150 // seconds: files are closed after ten
	})
}

// small is a quota of few files.
func (b *bench) small(quota int64) {
	b.stop()
	b.space = func(o *Options) { o.TrailQuota = quota }
	b.start()
}

// TestRedeliver: what has expired, and is asked for while it is kept, is delivered
// once, under its key, and listed in one digest.
func TestRedeliver(t *testing.T) {
	b := newBench(t)
	b.small(smallQuota)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.fill("red", 2)
	before := b.status("red")
	list := b.kept(receiverstatus.KeptExpired)
	if len(list) != before.ExpiredFiles || before.Counts.Expired < 2*perFile {
		t.Fatalf("%d are listed, the status is %+v", len(list), before)
	}
	b.alone(list)
	for _, k := range list {
		if k.Records == 0 || k.Oldest == nil || k.Until == nil || k.Trail != "uid-red" || k.Asked != nil {
			t.Errorf("%+v", k)
		}
		f, _, err := b.p.Content(k.ID)
		if err != nil || f == nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(f)
		if err != nil || record.HexSHA256(body) != k.SHA256 || int64(len(body)) != k.Bytes {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		f.Close()
	}
	// Asked for while the bucket is away: nothing happens before it is back.
	if got, err := b.p.Redeliver(list[0].ID); err != nil || got.Outcome != receiverstatus.DeliveryAsked || got.Records != list[0].Records {
		t.Fatalf("%+v, %v", got, err)
	}
	for range 20 {
		b.clock.Step(10 * time.Second)
		time.Sleep(time.Millisecond)
	}
	if got := b.status("red").Counts.Expired; got != before.Counts.Expired {
		t.Errorf("%d have expired, %d before", got, before.Counts.Expired)
	}
	b.stop()
	b.start() // the wish outlives a restart
	b.reachable("red", true)
	b.until("redelivery of the first", func() bool { return b.status("red").Counts.Redelivered == list[0].Records })
	if o, ok := b.bucket("red").Objects()[list[0].Key]; !ok || record.HexSHA256(o.Body) != list[0].SHA256 {
		t.Error("it is not under its key, or not the same")
	}
	for range 2 { // twice is once
		for _, k := range list[1:] {
			if got, err := b.p.Redeliver(k.ID); err != nil || got.Outcome != receiverstatus.DeliveryAsked {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	}
	b.until("redelivery", func() bool { s := b.status("red"); return s.ExpiredFiles == 0 && s.PendingFiles == 0 })
	if got, err := b.p.Redeliver(list[0].ID); err != nil || got.Outcome != receiverstatus.KeptGone {
		t.Errorf("%+v, %v", got, err)
	}
	b.until("the account", func() bool {
		c := b.status("red").Counts
		return c.Accepted == c.Delivered+c.Expired && c.Pending == 0
	})
	b.until("the records", func() bool { return b.recorded("red", record.EventEventsRedelivered) == len(list) })
	b.clock.Step(time.Hour)
	digests := len(b.digests("red"))
	b.until("the next digest", func() bool { return len(b.digests("red")) > digests && b.status("red").PendingFiles == 0 })
	b.checkDigests("red")
	ids := b.delivered("red")
	for _, k := range list {
		if _, ok := b.bucket("red").Objects()[k.Key]; !ok {
			t.Errorf("%s is missing", k.Key)
		}
	}
	if c := b.status("red").Counts; int64(len(ids)) != c.Delivered || c.Redelivered == 0 {
		t.Errorf("%d records are in the bucket, the account is %+v", len(ids), c)
	}
}

// TestExpiredWasInTheBucket: a file whose confirmation was lost before it expired
// is found under its key, and not stored a second time.
func TestExpiredWasInTheBucket(t *testing.T) {
	b := newBench(t)
	b.small(smallQuota)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.fill("red", 2)
	first := b.kept(receiverstatus.KeptExpired)[0]
	f, _, err := b.p.Content(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	b.reachable("red", true)
	if err := b.bucket("red").Create(t.Context(), first.Key, bytes.NewReader(body), int64(len(body)), objectstore.PutOptions{SHA256: sha256.Sum256(body)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.p.Redeliver(first.ID); err != nil {
		t.Fatal(err)
	}
	b.until("redelivery", func() bool { return b.status("red").Counts.Redelivered == first.Records })
	b.delivered("red") // nothing twice
	if n := b.recorded("red", record.EventObjectConflict); n != 0 {
		t.Error("it was taken for another's")
	}
}

// TestRedeliverMoved: where the trail's objects now lie elsewhere, the file gets
// a key there.
func TestRedeliverMoved(t *testing.T) {
	b := newBench(t)
	b.small(smallQuota)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.fill("red", 2)
	first := b.kept(receiverstatus.KeptExpired)[0]
	b.trails[0].Destination.Prefix, b.trails[0].Destination.Bucket, b.trails[0].Generation = "q", "other", 2
	b.apply()
	if _, err := b.p.Redeliver(first.ID); err != nil {
		t.Fatal(err)
	}
	b.until("redelivery", func() bool { return b.status("red").Counts.Redelivered == first.Records })
	found := false
	for key, o := range b.bucket("other").Objects() {
		if record.HexSHA256(o.Body) == first.SHA256 {
			found = strings.HasPrefix(key, "q/AWSLogs/") && key != first.Key
		}
	}
	if !found {
		t.Error("it is not under the new prefix")
	}
}

// TestRedeliverWaitsForResumption: no digest lists what a suspended trail delivers.
func TestRedeliverWaitsForResumption(t *testing.T) {
	b := newBench(t)
	b.small(smallQuota)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.fill("red", 2)
	b.reachable("red", true)
	b.trails[0].Suspended, b.trails[0].Generation = true, 2
	b.apply()
	b.until("flush", func() bool { return b.status("red").Flushed })
	first := b.kept(receiverstatus.KeptExpired)[0]
	if got, err := b.p.Redeliver(first.ID); err != nil || !strings.Contains(got.Reason, "suspended") {
		t.Errorf("%+v, %v", got, err)
	}
	for range 20 {
		b.clock.Step(10 * time.Second)
		time.Sleep(time.Millisecond)
	}
	if s := b.status("red"); !s.Flushed || s.Counts.Redelivered != 0 {
		t.Errorf("%+v", s)
	}
	b.trails[0].Suspended, b.trails[0].Generation = false, 3
	b.apply()
	b.until("redelivery", func() bool { return b.status("red").Counts.Redelivered == first.Records })
	listed := 0
	b.clock.Step(time.Hour)
	b.until("a digest that lists it", func() bool {
		listed = 0
		for _, d := range b.digests("red") {
			for _, f := range d.LogFiles {
				if f.S3Object == first.Key {
					listed++
				}
			}
		}
		return listed > 0
	})
	if listed != 1 {
		t.Errorf("it is listed %d times", listed)
	}
}

// TestExpiredIsBounded: by its share of the quota, by age, and by what others need.
func TestExpiredIsBounded(t *testing.T) {
	b := newBench(t)
	b.small(smallQuota)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.fill("red", 1)
	removed := func() int64 {
		var s receiverstatus.KeptStatus
		b.p.CountKept(&s)
		return s.Removed[receiverstatus.KeptExpired]
	}
	for removed() == 0 {
		b.post("red", perFile)
		b.rest("red")
		if s := b.status("red"); s.ExpiredBytes > smallQuota/keptShare || s.ExpiredFiles == 0 {
			t.Fatalf("%d bytes of %d expired files are kept", s.ExpiredBytes, s.ExpiredFiles)
		}
	}
	var s receiverstatus.KeptStatus
	b.p.CountKept(&s)
	if s.Removed[receiverstatus.KeptExpired] == 0 || s.ExpiredFiles != b.status("red").ExpiredFiles {
		t.Errorf("%+v", s)
	}
	list := b.kept(receiverstatus.KeptExpired)
	if len(list) != s.ExpiredFiles || len(list) == 0 {
		t.Fatalf("%d are listed, %+v", len(list), s)
	}
	b.clock.Step(keptFor + time.Hour)
	b.until("removal", func() bool { return len(b.kept(receiverstatus.KeptExpired)) == 0 })
	files := 0
	_ = filepath.WalkDir(b.dir+"/outbox", func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files++
		}
		return nil
	})
	if n := b.status("red").PendingFiles; files > n+1 { // and an open one
		t.Errorf("%d files are on the volume, %d pend", files, n)
	}
}

// TestExpiredMakesRoomFirst: files that nobody waits for go before those of
// another trail that are still to be delivered.
func TestExpiredMakesRoomFirst(t *testing.T) {
	b := newBench(t)
	const reserve = 4000
	free := int64(1 << 40)
	b.stop()
	b.space = func(o *Options) {
		o.TrailQuota, o.ReserveBytes = smallQuota, reserve
		o.FreeBytes = func() (int64, error) { return free - b.used(), nil }
	}
	b.start()
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.fill("red", 1)
	s := b.status("red")
	b.stop()
	free = reserve + b.used() - 1 // one byte is missing
	b.start()
	b.until("room", func() bool { return b.status("red").ExpiredFiles == 0 })
	if got := b.status("red"); got.Counts.Expired != s.Counts.Expired {
		t.Errorf("%d have expired, %d before", got.Counts.Expired, s.Counts.Expired)
	}
}

// TestAbandonedGoesByTime: without a new configuration, and what is lost with it
// is recorded.
func TestAbandonedGoesByTime(t *testing.T) {
	b := newBench(t)
	b.trail("red").MaxFileAgeSeconds = 10
	all := b.trail("all")
	all.Namespace = "" // of the whole cluster
	for i := range b.trails {
		b.trails[i].LogFileValidation = false // thirty days have many digests
	}
	b.apply()
	b.reachable("red", false)
	b.post("red", 7)
	b.until("a file", func() bool { return b.status("red").PendingFiles == 1 })
	b.trails = b.trails[1:]
	b.apply()
	list := b.kept(receiverstatus.KeptAbandoned)
	if len(list) == 0 || list[len(list)-1].Records != 7 || list[0].TrailName != "red.all" || list[0].Until == nil {
		t.Fatalf("%+v", list)
	}
	b.alone(list)
	last := list[len(list)-1]
	f, _, err := b.p.Content(last.ID)
	if err != nil || f == nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(f)
	f.Close()
	if err != nil || record.HexSHA256(body) != last.SHA256 {
		t.Errorf("%v", err)
	}
	if got, err := b.p.Redeliver(last.ID); err != nil || got.Outcome != receiverstatus.KeptRefused || !strings.Contains(got.Reason, "--to-dir") {
		t.Errorf("%+v, %v", got, err)
	}
	b.stop()
	b.start() // a restart forgets nothing
	var s receiverstatus.KeptStatus
	if b.p.CountKept(&s); s.AbandonedFiles != len(list) || s.AbandonedBytes == 0 {
		t.Errorf("%+v", s)
	}
	b.clock.Step(abandonedFor - time.Hour)
	for range 5 {
		b.clock.Step(time.Minute)
		time.Sleep(time.Millisecond)
	}
	if len(b.kept(receiverstatus.KeptAbandoned)) != len(list) {
		t.Fatal("they have gone too early")
	}
	b.clock.Step(time.Hour)
	b.until("removal", func() bool { return len(b.kept(receiverstatus.KeptAbandoned)) == 0 })
	b.until("the record", func() bool { return b.recorded("all", record.EventEventsLost) == 1 })
	n := 0
	if err := b.spool.Scan("trail/uid-red/", func(string, []byte) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("%d documents are left, %v", n, err)
	}
}

// TestAbandonedCountsForTheShare: and goes before what can still be delivered.
func TestAbandonedCountsForTheShare(t *testing.T) {
	b := newBench(t)
	const reserve = 5000
	b.stop()
	volume := int64(1 << 40)
	b.space = func(o *Options) { o.ReserveBytes, o.VolumeBytes = reserve, volume }
	b.start()
	b.trail("red").MaxFileAgeSeconds = 10
	b.trail("blue").MaxFileAgeSeconds = 10
	all := b.trail("all")
	all.Namespace = ""
	b.apply()
	b.reachable("red", false)
	b.reachable("blue", false)
	b.post("red", 20)
	b.post("blue", 20)
	b.until("files", func() bool { return b.status("red").PendingFiles == 1 && b.status("blue").PendingFiles == 1 })
	b.trails = b.trails[1:]
	b.apply()
	var abandoned int64
	for _, k := range b.kept(receiverstatus.KeptAbandoned) {
		if k.Records > 0 {
			abandoned += k.Bytes
		}
	}
	if abandoned == 0 {
		t.Fatal("nothing is kept")
	}
	b.stop()
	volume = reserve + 2*(abandoned+abandoned/2) // both files are about as large
	b.start()
	b.until("room", func() bool {
		return !slices.ContainsFunc(b.kept(receiverstatus.KeptAbandoned), func(k receiverstatus.Kept) bool { return k.Records > 0 })
	})
	if s := b.status("blue"); s.Counts.Expired != 0 || s.PendingFiles != 1 {
		t.Errorf("%+v", s)
	}
	b.until("the record", func() bool { return b.recorded("all", record.EventEventsLost) >= 1 })
}

// TestRedeliverThroughPowerLoss asks for what has expired while the power is cut
// again and again: in the end everything that was accepted is in the bucket once,
// or has expired for good.
func TestRedeliverThroughPowerLoss(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { redeliverThroughPowerLoss(t, seed) })
	}
}

func redeliverThroughPowerLoss(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	files := vfs.NewCrashableMem()
	if err := errors.Join(files.MkdirAll("/data", 0o700), volume{files}.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, files)
	b.small(smallQuota / 2)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	posted := int64(0)
	for range 10 {
		b.reachable("red", r.IntN(4) == 0)
		for range r.IntN(8) {
			n := 1 + r.IntN(perFile)
			b.post("red", n)
			posted += int64(n)
			for range r.IntN(40) {
				b.clock.Step(time.Duration(r.IntN(4000)) * time.Millisecond)
				time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
			}
			b.askFor(r)
		}
		if r.IntN(2) == 0 {
			b.reachable("red", true)
			for range r.IntN(30) {
				b.clock.Step(time.Duration(r.IntN(4000)) * time.Millisecond)
				time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
			}
		}
		b.crash(r)
	}
	b.reachable("red", true)
	b.until("redelivery of what is kept", func() bool {
		for _, k := range b.kept(receiverstatus.KeptExpired) {
			if k.Asked == nil {
				if _, err := b.p.Redeliver(k.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := b.status("red")
		return s.ExpiredFiles == 0 && s.PendingFiles == 0 && s.Counts.Accepted >= posted && s.Counts.Pending == 0
	})
	b.trails[0].Suspended, b.trails[0].Generation = true, 2
	b.apply()
	b.until("flush", func() bool { return b.status("red").Flushed })
	b.checkDigests("red")
	c := b.status("red").Counts
	events, own := 0, 0
	for _, id := range b.delivered("red") { // which fails on what is there twice
		if id == "" {
			own++
		} else {
			events++
		}
	}
	if c.Accepted != c.Delivered+c.Expired || int64(events+own) != c.Delivered || c.Accepted < posted {
		t.Errorf("%d events and %d of our own are in the bucket; the account is %+v, posted %d", events, own, c, posted)
	}
	t.Logf("posted %d, account %+v, own %d", posted, c, own)
}

// askFor asks for some of what has expired.
func (b *bench) askFor(r *rand.Rand) {
	b.t.Helper()
	for _, k := range b.kept(receiverstatus.KeptExpired) {
		if r.IntN(3) > 0 {
			if _, err := b.p.Redeliver(k.ID); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// TestDamagedIsBounded: files and chunks that are kept aside, the oldest go first.
func TestDamagedIsBounded(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	dir := b.p.folder("uid-red")
	b.stop()
	for i := range maxDamaged + 5 {
		name := fmt.Sprintf("%s/%016d.json.gz.damaged", dir, i)
		f, err := b.p.FS.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	b.start()
	var s receiverstatus.KeptStatus
	b.until("the bound", func() bool { s = receiverstatus.KeptStatus{}; b.p.CountKept(&s); return s.Removed["damaged"] >= 5 })
	if n := len(b.kept(receiverstatus.KeptFile)); n != maxDamaged || s.Damaged != maxDamaged || s.Removed["damaged"] != 5 || s.DamagedBytes != maxDamaged {
		t.Errorf("%+v", s)
	}
	names, err := b.p.FS.List(dir)
	if err != nil || len(slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".damaged") })) != maxDamaged {
		t.Errorf("%d names, %v", len(names), err)
	}
	b.until("the records", func() bool { return b.recorded("red", record.EventDamagedDataRemoved) == 5 })
}

// TestReplayedIsAccounted: what comes out of quarantine is accepted and delivered,
// marked, and not in quarantine any more. Its source has counted it before.
func TestReplayedIsAccounted(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	bad := b.chunk("red", 1)
	bad.Quarantined = 1
	b.send(bad)
	c := b.chunk("red", 2)
	c.Kind, c.Quarantined = spool.KindReplayed, 1
	b.send(c)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
	b.until("the account", func() bool { return b.p.Status().Intake.Accepted == 3 })
	if got := b.p.Status().Intake; got.Quarantined != 0 || got.Received != 3 || len(got.Accounts) != 1 || got.Accounts[0].Received != 2 {
		t.Errorf("%+v", got)
	}
	marked := 0
	for key, o := range b.bucket("red").Objects() {
		if !record.IsLogFileKey(key) {
			continue
		}
		var f struct{ Records []map[string]any }
		gunzip(t, o.Body, &f)
		for _, r := range f.Records {
			if data, ok := r["additionalEventData"].(map[string]any); ok && data["replayed"] == true {
				marked++
			}
		}
	}
	if marked != 2 {
		t.Errorf("%d records are marked as replayed", marked)
	}
}
