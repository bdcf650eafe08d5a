package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func TestNoLoss(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	at := func(clock string) time.Time {
		t, err := time.Parse(time.RFC3339, "2026-11-21T"+clock+"Z")
		if err != nil {
			panic(err)
		}
		return t
	}
	type world struct {
		trail *v1alpha1.Trail
		view  *lossaccount.View
		entry *receiverstatus.Trail
		o     *Observation
	}
	lost := func(name string, n int64, from, to string) lossaccount.Loss {
		return lossaccount.Loss{Cause: lossaccount.CauseDropped, APIServer: name, Events: n, From: at(from), To: at(to)}
	}
	maybe := func(cause lossaccount.Cause, from, to string) lossaccount.Loss {
		return lossaccount.Loss{Cause: cause, From: at(from), To: at(to)}
	}
	annotate := func(w *world, value string) {
		w.trail.Annotations = map[string]string{v1alpha1.AnnotationAcknowledgeLoss: value}
	}
	cluster := func(w *world) { w.trail.Namespace = "" }
	for name, tc := range map[string]struct {
		do   func(w *world)
		want string
	}{
		"nothing lost": {func(*world) {}, "True NothingLost: Everything that API servers have processed since 2026-11-21T09:00:00Z is accounted for."},
		"the trail is younger than the account": {func(w *world) {
			w.trail.Status.StartLoggingTime = &metav1.Time{Time: at("09:30:00")}
			w.view.Losses = []lossaccount.Loss{lost("cp-1", 5, "09:10:00", "09:20:00"), maybe(lossaccount.CauseProcessChanged, "09:10:00", "09:20:00")}
		}, "True NothingLost: Everything that API servers have processed since 2026-11-21T09:30:00Z is accounted for."},
		"never recorded": {func(w *world) { w.trail.Status.StartLoggingTime = nil }, "Unknown Pending: The trail has not recorded yet."},
		"dropped, seen by a tenant": {
			func(w *world) {
				w.view.Losses = []lossaccount.Loss{lost("cp-2", 1000, "10:02:00", "10:08:00"), lost("cp-1", 234, "10:01:00", "10:03:00")}
			},
			"False EventsLost: The API servers lost 1,234 events since 2026-11-21T10:01:00Z of the whole cluster; whether some were of this namespace is not known. Records of it stand in the trail. " + acknowledge,
		},
		"dropped, seen by the cluster": {
			func(w *world) {
				cluster(w)
				w.view.Losses = []lossaccount.Loss{lost("cp-2", 1000000, "10:02:00", "10:08:00"), lost("cp-1", 1, "10:01:00", "10:03:00"), lost("cp-2", 1, "11:02:00", "11:08:00")}
			},
			"False EventsLost: The API server cp-1 lost 1 event since 2026-11-21T10:01:00Z. The API server cp-2 lost 1,000,001 events since 2026-11-21T10:02:00Z. Records of it stand in the trail. " + acknowledge,
		},
		"acknowledged": {func(w *world) {
			w.view.Losses = []lossaccount.Loss{lost("cp-1", 5, "10:01:00", "10:03:00"), maybe(lossaccount.CauseNewVolume, "10:01:00", "10:03:00")}
			annotate(w, "2026-11-21T10:03:00Z")
		}, "True NothingLost: Everything that API servers have processed since 2026-11-21T10:03:00Z is accounted for."},
		"one acknowledged, and another one later": {func(w *world) {
			cluster(w)
			w.view.Losses = []lossaccount.Loss{lost("cp-1", 5, "10:01:00", "10:03:00"), lost("cp-1", 7, "10:04:00", "10:05:00")}
			annotate(w, "2026-11-21T11:03:00+01:00")
		}, "False EventsLost: The API server cp-1 lost 7 events since 2026-11-21T10:04:00Z. Records of it stand in the trail. " + acknowledge},
		"acknowledged in advance": {func(w *world) {
			cluster(w)
			w.view.Losses = []lossaccount.Loss{lost("cp-1", 5, "10:01:00", "10:03:00")}
			annotate(w, "2027-01-01T00:00:00Z")
		}, "False EventsLost: The API server cp-1 lost 5 events since 2026-11-21T10:01:00Z. Records of it stand in the trail. " + acknowledge + " The annotation trail-operator.io/acknowledge-loss is ignored: it lies in the future."},
		"acknowledged by something else": {func(w *world) { annotate(w, "yes") }, "True NothingLost: Everything that API servers have processed since 2026-11-21T09:00:00Z is accounted for. The annotation trail-operator.io/acknowledge-loss is ignored: it must be a time such as 2026-01-31T12:00:00Z."},
		"lost while the trail was suspended": {func(w *world) {
			w.trail.Status.StopLoggingTime = &metav1.Time{Time: at("09:30:00")}
			w.view.Losses = []lossaccount.Loss{lost("cp-1", 5, "10:01:00", "10:03:00")}
		}, "True NothingLost: Everything that API servers have processed since 2026-11-21T09:00:00Z is accounted for."},
		"lost behind the receiver": {func(w *world) {
			last := at("11:00:00")
			w.entry.Counts = receiverstatus.Counts{Expired: 4000, Quarantined: 1}
			w.entry.LastLoss = &last
			w.o.Receiver.Spool.Damaged, w.o.Receiver.Spool.LastDamage = 2, &last
		}, "False EventsLost: 4,000 records of this trail expired in all, because the bucket was away for too long. 1 record of this trail were destroyed in all by the volume of the receiver. The volume of the receiver has destroyed 2 chunks of events of the whole cluster in all. Records of it stand in the trail. " + acknowledge},
		"that is acknowledged": {func(w *world) {
			last := at("11:00:00")
			w.entry.Counts, w.entry.LastLoss = receiverstatus.Counts{Expired: 4000}, &last
			annotate(w, "2026-11-21T11:30:00Z")
		}, "True NothingLost: Everything that API servers have processed since 2026-11-21T11:30:00Z is accounted for."},
		"a process has changed": {func(w *world) {
			w.view.Losses = []lossaccount.Loss{maybe(lossaccount.CauseProcessChanged, "10:01:00", "10:03:00")}
		}, "Unknown TailNotEnabled: An API server stopped or was started anew between 2026-11-21T10:01:00Z and 2026-11-21T10:03:00Z; what it lost then is only in its audit log, which no tail follows. " + acknowledge},
		"a new volume": {func(w *world) {
			w.view.Losses = []lossaccount.Loss{maybe(lossaccount.CauseNewVolume, "10:01:00", "10:03:00")}
		}, "Unknown EventsPossiblyLost: The receiver began with a new volume at 2026-11-21T10:03:00Z: what it had before may be lost. " + acknowledge},
		"metrics cannot be read":             {func(w *world) { w.view.Unreadable = []string{"cp-1"} }, "Unknown MetricsUnavailable: What one of the API servers loses is not known: the manager cannot read the metrics. Its log says why."},
		"metrics cannot be read, with names": {func(w *world) { cluster(w); w.view.Unreadable = []string{"cp-1", "cp-2"} }, "Unknown MetricsUnavailable: What the API servers cp-1 and cp-2 lose is not known: the manager cannot read the metrics. Its log says why."},
		"no address":                         {func(w *world) { w.view.NoAddress = true }, "Unknown MetricsUnavailable: What API servers lose is not known: the manager knows the address of none."},
		"switched off":                       {func(w *world) { w.o.Loss = &lossaccount.View{Off: true} }, "Unknown MetricsUnavailable: What API servers lose is not known: the installer has switched the account of it off (lossAccounting)."},
		"before the first look":              {func(w *world) { w.o.Loss = nil }, "Unknown NotComparedYet: The account of what API servers lose has not begun yet."},
		"before the first comparison":        {func(w *world) { w.view.Through = time.Time{} }, "Unknown NotComparedYet: What API servers have processed is compared with what has arrived after six minutes."},
		"a tail is behind":                   {func(w *world) { w.view.Behind = []string{"cp-1"} }, "Unknown TailBehind: What one of the API servers loses is not known yet: the tail has not sent all of the audit log."},
		"an API server that nobody knows":    {func(w *world) { cluster(w); w.view.Unidentified = []string{"10.0.0.1:6443"} }, "Unknown APIServerNotIdentified: What the API server 10.0.0.1:6443 loses is not known: the manager cannot bring metrics and events together. That takes two minutes, if the API server sends its events."},
		"the receiver is away":               {func(w *world) { w.o.Receiver = nil }, "Unknown ReceiverUnreachable: The status API of the receiver does not answer."},
		"the receiver is away, and something lost": {func(w *world) {
			cluster(w)
			w.o.Receiver = nil
			w.view.Losses = []lossaccount.Loss{lost("cp-1", 5, "10:01:00", "10:03:00")}
		}, "False EventsLost: The API server cp-1 lost 5 events since 2026-11-21T10:01:00Z. Records of it stand in the trail. " + acknowledge},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{trail: &v1alpha1.Trail{}, view: &lossaccount.View{Since: at("08:00:00"), Through: at("11:54:00")}}
			w.trail.Namespace, w.trail.UID = "shop", "u"
			w.trail.Status.StartLoggingTime = &metav1.Time{Time: at("09:00:00")}
			w.o = &Observation{Trail: w.trail, Loss: w.view, Now: now, Receiver: &receiverstatus.Status{Trails: []receiverstatus.Trail{{UID: "u"}}}}
			w.entry = &w.o.Receiver.Trails[0]
			tc.do(w)
			s := w.o.noLoss()
			if diff := cmp.Diff(tc.want, string(s.status)+" "+s.reason+": "+s.message); diff != "" {
				t.Error(diff)
			}
			if w.trail.Namespace != "" && strings.Contains(s.message, "cp-") {
				t.Error("a tenant learns the name of a machine")
			}
		})
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 events", 1: "1 event", 999: "999 events", 1000: "1,000 events", 1234567: "1,234,567 events", -1000: "-1,000 events"} {
		if got := count(n, "event"); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
