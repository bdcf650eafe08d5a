package installation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// secrets is an API server that keeps Secrets, counts writes and can refuse them.
type secrets struct {
	client.Client
	mu     sync.Mutex
	writes map[string]int
	refuse error
	held   chan struct{} // closed: writes go on; nil: they always do
	begun  chan struct{} // a write waits
}

func newSecrets(t *testing.T) *secrets {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &secrets{writes: map[string]int{}}
	s.Client = fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if s.held != nil {
				select {
				case s.begun <- struct{}{}:
				default:
				}
				<-s.held
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.refuse != nil {
				return s.refuse
			}
			s.writes[*o.(interface{ GetName() *string }).GetName()]++
			return c.Apply(ctx, o, opts...)
		},
	}).Build()
	return s
}

// total is the number of writes, and that of receiver.json.
func (s *secrets) total() (all, base int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.writes {
		all += n
	}
	return all, s.writes[manifests.ReceiverConfigName]
}

// whole requires that what is stored fits together, and returns its trails.
func (s *secrets) whole(t *testing.T) []string {
	t.Helper()
	var list corev1.SecretList
	if err := s.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for i := range list.Items {
		maps.Copy(files, list.Items[i].Data)
	}
	c, err := receiverconfig.ParseConfig(files[receiverconfig.FileConfig])
	if err != nil {
		t.Fatal(err)
	}
	delete(files, receiverconfig.FileConfig)
	want := map[string]string{}
	var uids []string
	for name, b := range files {
		want[name] = record.HexSHA256(b)
		if uid, ok := receiverconfig.TrailUID(name); ok {
			uids = append(uids, uid)
		}
	}
	if !maps.Equal(want, c.Files) {
		t.Errorf("receiver.json lists %d files, %d are there", len(c.Files), len(want))
	}
	slices.Sort(uids)
	return uids
}

func testBase() Base {
	pem := map[string][]byte{}
	for _, name := range []string{receiverconfig.FileServerCert, receiverconfig.FileServerKey, receiverconfig.FileClientCA, receiverconfig.FileSigningKey} {
		pem[name] = []byte("-----BEGIN")
	}
	return Base{PEM: pem, Config: receiverconfig.Config{Installation: receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"}}}
}

// newPublisher returns the Publisher of a manager that leads.
func newPublisher(t *testing.T, s *secrets) *Publisher {
	t.Helper()
	p := NewPublisher(s, "system")
	if err := p.SetBase(t.Context(), testBase()); err != nil {
		t.Fatal(err)
	}
	return p
}

func numbered(i int) receiverconfig.Trail {
	return receiverconfig.Trail{
		UID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Name: "shop.audit", Namespace: "shop", ARN: "arn", Generation: 1,
		MaxFileAgeSeconds: 300, MaxFileSizeMiB: 64, Destination: receiverconfig.Destination{Bucket: "logs", Region: "us-east-1"},
	}
}

// TestChangesAreWrittenTogether: while one change is written, others wait and
// are then written at once.
func TestChangesAreWrittenTogether(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	s.held, s.begun = make(chan struct{}), make(chan struct{}, 1)
	const trails = 200
	var all sync.WaitGroup
	put := func(i int) {
		all.Go(func() {
			if err := p.Put(t.Context(), numbered(i)); err != nil {
				t.Error(err)
			}
		})
	}
	put(0)
	<-s.begun
	for i := 1; i < trails; i++ {
		put(i)
	}
	for waiting := 0; waiting < trails-1; {
		p.mu.Lock()
		waiting = len(p.waiting)
		p.mu.Unlock()
	}
	// What is known can be read meanwhile.
	if _, ok, err := p.Trail(t.Context(), numbered(0).UID); ok || err != nil {
		t.Errorf("a trail that is not written yet: %v, %v", ok, err)
	}
	close(s.held)
	all.Wait()
	if got := s.whole(t); len(got) != trails {
		t.Errorf("%d trails are stored", len(got))
	}
	if writes, base := s.total(); base != 3 || writes > 2+1+1+manifests.ReceiverShards {
		t.Errorf("%d writes, of them %d of receiver.json", writes, base)
	}
	// Nothing is written for what is there.
	before, _ := s.total()
	for i := range trails {
		if err := p.Put(t.Context(), numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := s.total(); after != before {
		t.Errorf("%d writes without a change", after-before)
	}
	for i := range trails - 1 {
		if err := p.Remove(t.Context(), numbered(i).UID); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.whole(t); !slices.Equal(got, []string{numbered(trails - 1).UID}) {
		t.Errorf("%v are stored", got)
	}
}

// TestRefusedChanges: everybody whose change was not written hears of it, and a
// later one completes what is half there.
func TestRefusedChanges(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	s.refuse = errors.New("planted")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := p.Put(t.Context(), numbered(i)); !errors.Is(err, s.refuse) {
				t.Errorf("trail %d: %v", i, err)
			}
		})
	}
	all.Wait()
	s.refuse = nil
	if got := s.whole(t); len(got) > 0 {
		t.Errorf("%v are stored", got)
	}
	// A manager that ended between a shard and receiver.json.
	n := manifests.ReceiverShard(numbered(1).UID, false)
	half := manifests.ReceiverConfig("system", manifests.ReceiverShardName(n), "", map[string][]byte{
		receiverconfig.TrailFile(numbered(1).UID): record.MustJSON(numbered(1)),
	})
	if err := s.Apply(t.Context(), half, client.FieldOwner("t"), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	if err := p.Put(t.Context(), numbered(1)); err != nil {
		t.Fatal(err)
	}
	if got := s.whole(t); len(got) != 1 {
		t.Errorf("%v are stored", got)
	}
}

// TestOneTooMany: a trail that does not fit is refused, and nobody else.
func TestOneTooMany(t *testing.T) {
	s := newSecrets(t)
	p := newPublisher(t, s)
	large := func(i int) receiverconfig.Trail {
		r := numbered(i)
		r.Name, r.Namespace = "audit", "" // those of tenants are smaller
		r.Destination.Prefix = strings.Repeat("x", receiverconfig.MaxTrailSize-1000)
		return r
	}
	full := map[int]int{} // shards to the trail that did not fit
	stored := 0
	for i := 0; len(full) == 0; i++ {
		switch err := p.Put(t.Context(), large(i)); {
		case errors.Is(err, ErrTooLarge):
			full[manifests.ReceiverShard(large(i).UID, true)] = i
		case err != nil:
			t.Fatal(err)
		default:
			stored++
		}
	}
	if got := s.whole(t); len(got) != stored {
		t.Errorf("%d trails are stored, want %d", len(got), stored)
	}
	for i := range stored { // those that are there can be changed
		changed := large(i)
		changed.Generation++
		if err := p.Put(t.Context(), changed); err != nil && !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
	}
	small := numbered(1_000_000)
	if err := p.Put(t.Context(), small); err != nil {
		t.Errorf("one that fits: %v", err)
	}

	// receiver.json is full: others can still change and go.
	p.mu.Lock()
	p.base.files["filler.pem"] = make([]byte, manifests.MaxSecretData-manifests.DataSize(p.base.files)-entrySize+1)
	p.mu.Unlock()
	if err := p.Put(t.Context(), numbered(1_000_001)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one more: %v", err)
	}
	small.Generation++
	if err := p.Put(t.Context(), small); err != nil {
		t.Errorf("a change: %v", err)
	}
	if err := p.Remove(t.Context(), small.UID); err != nil {
		t.Errorf("an end: %v", err)
	}
}
