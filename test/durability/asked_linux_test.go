package durability

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// TestKillWhenAsked lets files of a tenant expire, asks for their delivery after
// all, and replays an item from quarantine; the receiver is killed at each step
// of both. Everything is in the bucket once.
func TestKillWhenAsked(t *testing.T) {
	t.Parallel()
	const tenant, quota = 1, 256 << 10
	var away atomic.Int32
	trails := []fleetTrail{{"all", "", v1alpha1.ReadWriteAll}, {"team-00.all", "team-00", v1alpha1.ReadWriteAll}}
	f := newFleet(t, "", []string{"--trail-quota-bytes", strconv.Itoa(quota)}, trails, dead(&away))
	defer f.stop()
	f.apply()
	away.Store(1 << tenant)
	expired := func() bool {
		var list receiverstatus.KeptList
		return t.Failed() || f.ctx.Err() != nil ||
			f.ask(http.MethodGet, receiverstatus.PathKept+"?kind="+receiverstatus.KeptExpired, nil, &list) == nil && len(list.Items) > 0
	}
	f.send(pace{senders: 2, events: 40, body: eventBody, pause: time.Millisecond}, expired)()
	away.Store(0)
	s := f.untilAll("room for what has expired", patience, func(s *receiverstatus.Status) bool { return f.trailOf(s, tenant).PendingFiles == 0 })
	before := f.trailOf(s, tenant).Counts.Expired
	f.killedAt(whenAsked[:2], receiverstatus.KeptExpired, receiverstatus.PathRedeliver)
	f.untilAll("delivery after all", patience, func(s *receiverstatus.Status) bool {
		c := f.trailOf(s, tenant).Counts
		return c.Redelivered > 0 && c.Expired+c.Redelivered == before && f.trailOf(s, tenant).PendingFiles == 0
	})

	// An event that is no EventList is one that only a replay understands.
	bare := bareEvent()
	if err := f.sendAcknowledged(bare); err != nil {
		t.Fatal(err)
	}
	f.killedAt(whenAsked[2:], receiverstatus.KeptItem, receiverstatus.PathReplay)
	if err := f.events.add(fmt.Appendf(nil, `{"items":[%s]}`, bare)); err != nil {
		t.Fatal(err)
	}
	for i := range f.in.Trails {
		f.in.Trails[i].Suspended = true
		f.in.Trails[i].Generation++
	}
	f.apply()
	s = f.untilAll("everything to be delivered", patience, func(s *receiverstatus.Status) bool {
		return len(s.Trails) == 2 && s.Trails[0].Flushed && s.Trails[1].Flushed
	})
	for i := range f.in.Trails {
		k, status := f.read(i), f.trailOf(s, i)
		f.account(i, &k, status.Counts)
		f.validate(i, &k, status)
		t.Logf("%s: %d records, %+v, own %v", f.trails[i].name, k.records, status.Counts, k.names)
	}
}

// bareEvent is an event of the first tenant without a list around it.
func bareEvent() []byte {
	return []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"bare-1","stage":"ResponseComplete",` +
		`"requestURI":"/api/v1/namespaces/team-00/configmaps/c","verb":"update","user":{"username":"ann","groups":["dev"]},"sourceIPs":["10.0.0.9"],` +
		`"objectRef":{"resource":"configmaps","namespace":"team-00","name":"c","apiVersion":"v1"},"responseStatus":{"code":200},` +
		`"requestReceivedTimestamp":"2026-11-21T10:20:00.000000Z","stageTimestamp":"2026-11-21T10:20:00.100000Z"}`)
}

// killedAt asks for all that is kept of a kind, again and again, while each start
// of the receiver ends at the next of points, and then until nothing is left to do.
func (f *fleet) killedAt(points []string, kind, path string) {
	f.t.Helper()
	deaths := f.deaths()
	f.world.mu.Lock()
	f.kills = append(f.kills, points...)
	f.world.mu.Unlock()
	f.world.kill()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var list receiverstatus.KeptList
		err := f.ask(http.MethodGet, receiverstatus.PathKept+"?kind="+kind, nil, &list)
		var out receiverstatus.KeptOutcomes
		if err == nil {
			var ids receiverstatus.KeptIDs
			for _, k := range list.Items {
				ids.IDs = append(ids.IDs, k.ID)
			}
			err = f.ask(http.MethodPost, path, record.MustJSON(ids), &out)
		}
		if err == nil && f.deaths() == deaths+1+len(points) {
			return
		}
		if f.t.Failed() || time.Now().After(deadline) {
			f.t.Fatalf("%d of %d kills: %v; %+v\n%s", f.deaths()-deaths, 1+len(points), err, out, f.log())
		}
	}
}

// ask calls the receiver as the manager does. The receiver may be away.
func (f *fleet) ask(method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(f.ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+f.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.manager.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
