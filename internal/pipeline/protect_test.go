package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// protected is a trail that asks for everything, in a bucket that can do it.
func (b *bench) protected(namespace string) *receiverconfig.Trail {
	b.t.Helper()
	t := b.trail(namespace)
	t.Destination.Encryption = receiverconfig.Encryption{Type: receiverconfig.EncryptionKMS, KMSKeyID: "key-1"}
	t.Destination.Retention = receiverconfig.Retention{Mode: receiverconfig.RetentionGovernance, Days: 30}
	bucket, ctx := b.bucket(namespace), context.Background()
	if err := bucket.SetVersioning(ctx, objectstore.VersioningEnabled); err != nil {
		b.t.Fatal(err)
	}
	if err := bucket.SetDefaultRetention(ctx, objectstore.DefaultRetention{}); err != nil {
		b.t.Fatal(err)
	}
	return t
}

func (b *bench) ignore(namespace string, f memory.Fault) {
	b.bucket(namespace).SetHook(func(context.Context, objectstore.Op, string) memory.Fault { return f })
}

func (b *bench) logFiles(namespace string) (keys []string) {
	for key := range b.bucket(namespace).Objects() {
		if record.IsLogFileKey(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (b *bench) failed(namespace, reason string) bool {
	f := b.status(namespace).DeliveryError
	return f != nil && f.Reason == reason
}

// Each object is encrypted and retained as asked, and a digest at least as long
// as every log file that it lists, also when the days were lowered in between.
func TestProtection(t *testing.T) {
	b := newBench(t)
	red := b.protected("red")
	b.apply()
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 1 })
	red.Destination.Retention.Days, red.Generation = 2, 2
	b.apply()
	b.clock.Step(time.Hour)
	b.until("the digest", func() bool { return b.status("red").Head != nil })
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 2 })
	second := b.status("red").Head.Sequence + 1
	b.clock.Step(time.Hour)
	b.until("the second digest", func() bool { return b.status("red").Head.Sequence >= second })

	objects := b.bucket("red").Objects()
	digests, short := 0, 0
	for key, o := range objects {
		if o.Encryption != (objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: "key-1"}) {
			t.Errorf("%s is encrypted with %+v", key, o.Encryption)
		}
		days := o.Retention.Until.Sub(o.Modified).Hours() / 24
		if o.Retention.Mode != objectstore.RetentionGovernance || days < 1.99 || days > 30.01 {
			t.Errorf("%s is retained for %.2f days, %s", key, days, o.Retention.Mode)
		}
		if days < 3 {
			short++
		}
		if record.IsLogFileKey(key) {
			continue
		}
		digests++
		var d record.Digest
		gunzip(t, o.Body, &d)
		for _, f := range d.LogFiles {
			if listed := objects[f.S3Object]; listed.Retention.Until.After(o.Retention.Until) {
				t.Errorf("the digest %s is retained until %s, its log file until %s", key, o.Retention.Until, listed.Retention.Until)
			}
		}
	}
	if digests < 2 || short == 0 {
		t.Errorf("want two digests, and something that is retained for 2 days; got %d, %d", digests, short)
	}
}

// A server that ignores what was asked for gets one file and no more, neither
// log files nor digests. When it does better, everything comes, once.
func TestIgnoredProtection(t *testing.T) {
	for reason, fault := range map[string]memory.Fault{
		receiverstatus.ReasonEncryptionIgnored: {IgnoreEncryption: true},
		receiverstatus.ReasonRetentionIgnored:  {IgnoreRetention: true},
	} {
		t.Run(reason, func(t *testing.T) {
			b := newBench(t)
			b.protected("red")
			b.ignore("red", fault)
			b.apply()
			b.post("red", 1)
			b.until("the failure", func() bool { return b.failed("red", reason) })
			b.post("red", 2)
			b.until("a second file", func() bool { return b.status("red").PendingFiles == 2 })
			b.clock.Step(2 * time.Hour)
			heads := b.bucket("red").Calls(objectstore.OpHead)
			b.until("more tries", func() bool { return b.bucket("red").Calls(objectstore.OpHead) > heads+2 })
			only := b.logFiles("red")
			if len(only) != 1 || len(b.bucket("red").Objects()) != 1 {
				t.Fatalf("want one file, and nothing else; got %d objects", len(b.bucket("red").Objects()))
			}
			s := b.status("red")
			if s.Counts.Delivered != 0 || s.DigestError == nil || s.DigestError.Reason != reason {
				t.Errorf("nothing counts as delivered, and digests wait, too: %s", record.MustJSON(s))
			}

			b.bucket("red").SetHook(nil)
			b.bucket("red").Delete(only[0])
			b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
			delivered := b.clock.Now().UTC().Format(record.TimeFormat)
			b.clock.Step(time.Hour)
			b.until("the digest", func() bool { h := b.status("red").Head; return h != nil && h.EndTime > delivered })
			if f := b.status("red").DeliveryError; f != nil {
				t.Errorf("the failure stays: %+v", f)
			}
			if got := len(b.delivered("red")); got != 3 {
				t.Errorf("want 3 records, each once; got %d", got)
			}
			b.checkDigests("red")
			for key, o := range b.bucket("red").Objects() {
				if o.Encryption.Type == "" || o.Retention.Mode == "" {
					t.Errorf("%s is not protected", key)
				}
			}
		})
	}
}

// A server that stops to encrypt is noticed within the hour, and after a
// restart of the receiver at once.
func TestProtectionIsProvenAgain(t *testing.T) {
	b := newBench(t)
	b.protected("red")
	b.apply()
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 1 })
	b.ignore("red", memory.Fault{IgnoreEncryption: true})
	begin := b.clock.Now()
	b.clock.Step(50 * time.Minute)
	b.until("the failure", func() bool {
		if len(b.logFiles("red")) < 20 && b.status("red").PendingFiles == 0 {
			b.post("red", 1)
		}
		return b.failed("red", receiverstatus.ReasonEncryptionIgnored)
	})
	if took := b.clock.Since(begin); took > 70*time.Minute {
		t.Errorf("it took %s", took)
	}
	b.stop()
	stored := len(b.bucket("red").Objects())
	b.start()
	b.until("the failure after a restart", func() bool { return b.failed("red", receiverstatus.ReasonEncryptionIgnored) })
	if got := len(b.bucket("red").Objects()); got != stored {
		t.Errorf("%d objects became %d", stored, got)
	}

	// What was asked for may be given up, too.
	b.trails[0].Destination.Encryption, b.trails[0].Generation = receiverconfig.Encryption{}, 2
	b.apply()
	b.until("delivery", func() bool { return b.status("red").DeliveryError == nil && b.status("red").PendingFiles == 0 })
}

// Servers that refuse give their own reason.
func TestRefusedProtection(t *testing.T) {
	b := newBench(t)
	b.trail("red").Destination.Retention = receiverconfig.Retention{Mode: receiverconfig.RetentionCompliance, Days: 1}
	b.apply()
	b.post("red", 1)
	b.until("the failure", func() bool { return b.failed("red", receiverstatus.ReasonProtection) })
	if m := b.status("red").DeliveryError.Message; !strings.Contains(m, "object lock") {
		t.Errorf("the message %q should say what is missing", m)
	}
	if n := len(b.bucket("red").Objects()); n != 0 {
		t.Errorf("%d objects were stored", n)
	}
}

// Each digest lists the lifecycle rules, and nothing where there are none.
func TestDigestsListLifecycle(t *testing.T) {
	b := newBench(t)
	red := b.trail("red")
	b.apply()
	b.clock.Step(time.Hour)
	b.until("the first digest", func() bool { return b.status("red").Head != nil })
	rules := []record.LifecycleRule{{Objects: record.LifecycleLogs, ExpireDays: 90, TransitionDays: 30, StorageClass: "GLACIER"}}
	red.Lifecycle = rules
	b.apply()
	next := b.status("red").Head.Sequence + 1
	b.clock.Step(time.Hour)
	b.until("the next digest", func() bool { return b.status("red").Head.Sequence >= next })
	for _, o := range b.bucket("red").Objects() {
		var d record.Digest
		gunzip(t, o.Body, &d)
		switch {
		case d.DigestSequence < next && d.LifecycleRules != nil:
			t.Errorf("digest %d has rules: %v", d.DigestSequence, d.LifecycleRules)
		case d.DigestSequence >= next && (len(d.LifecycleRules) != 1 || d.LifecycleRules[0] != rules[0]):
			t.Errorf("digest %d has the rules %v", d.DigestSequence, d.LifecycleRules)
		}
	}
}
