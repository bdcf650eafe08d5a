package installation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// ErrTooLarge is returned when a trail does not fit into the configuration.
var ErrTooLarge = errors.New("no room for the configuration of this trail")

// Publisher renders the receiver's configuration into its Secrets and knows
// what was rendered last, deleted trails included. It is safe for concurrent
// use. Only that of the manager that leads writes, but for Begin; should it
// meet a write of somebody else's all the same, its own is refused, and it reads
// everything anew.
//
// Changes that come while another is written are written together: receiver.json
// lists every file, so writing it for each of many trails would cost more the
// more there are.
//
// A trail's file is written before receiver.json, which lists its hash. When
// the manager ends between the two, the receiver waits (ErrIncomplete), and the
// next reconciliation of the trail completes the pair.
type Publisher struct {
	client    client.Client // must not cache Secrets
	namespace string

	writing sync.Mutex // held by whoever asks the API server
	// mu guards what follows. Only whoever holds writing, too, changes it, but
	// for waiting.
	mu      sync.Mutex
	waiting []*change
	loaded  bool
	listed  bool // receiver.json is known to list the files of the shards
	base    secret
	shards  [manifests.ReceiverShards]secret
	config  receiverconfig.Config
}

// secret is a Secret as it was last seen or written.
type secret struct {
	version string // empty: does not exist
	files   map[string][]byte
}

// NewPublisher returns a Publisher for the Secrets of namespace.
func NewPublisher(c client.Client, namespace string) *Publisher {
	return &Publisher{client: c, namespace: namespace}
}

// Base is the installation's part of the configuration.
type Base struct {
	Config receiverconfig.Config // without Version, Generation, Kinds, ForwardTo and Files
	PEM    map[string][]byte     // by file name
}

// Begin renders the installation's part where nothing is rendered yet. A manager
// that does not lead does no more than this: it may be of another version, and
// stand by for weeks. Nothing that it has read is kept.
func (p *Publisher) Begin(ctx context.Context, b Base) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	var present secret
	if err := p.read(ctx, manifests.ReceiverConfigName, &present); err != nil {
		return err
	}
	if _, ok := present.files[receiverconfig.FileConfig]; ok {
		return nil
	}
	defer p.forget()
	return p.setBase(ctx, b)
}

// forget has everything read anew.
func (p *Publisher) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded, p.listed = false, false
}

// SetBase renders the installation's part, if it differs from what is rendered.
// It looks whether that is still what this Publisher knows.
func (p *Publisher) SetBase(ctx context.Context, b Base) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	var present secret
	if err := p.read(ctx, manifests.ReceiverConfigName, &present); err != nil {
		return err
	}
	if present.version != p.base.version {
		p.forget()
	}
	return p.setBase(ctx, b)
}

func (p *Publisher) setBase(ctx context.Context, b Base) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	next := b.Config
	next.Version, next.Generation, next.Kinds = receiverconfig.Version, p.config.Generation, p.config.Kinds
	next.ForwardTo = p.config.ForwardTo
	files := maps.Clone(b.PEM)
	next.Files = p.list(files)
	if p.base.version != "" && reflect.DeepEqual(next, p.config) && p.holds(files) {
		return nil
	}
	return p.write(ctx, next, files)
}

// SetKinds renders the kinds of the cluster's resources, as the next snapshot if
// they differ from the last.
func (p *Publisher) SetKinds(ctx context.Context, list []receiverconfig.Kind) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.load(ctx); err != nil {
		return err
	}
	if slices.Equal(list, p.config.Kinds.List) {
		return nil
	}
	next := p.config
	next.Kinds = receiverconfig.Kinds{Snapshot: p.config.Kinds.Snapshot + 1, List: list}
	next.Files = p.list(p.base.files)
	return p.write(ctx, next, p.base.files)
}

// SetForwardTo renders to whom bodies of audit POSTs are sent on, if it differs
// from what is rendered; nil means nobody.
func (p *Publisher) SetForwardTo(ctx context.Context, to *receiverconfig.ForwardTo) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.load(ctx); err != nil {
		return err
	}
	if reflect.DeepEqual(to, p.config.ForwardTo) {
		return nil
	}
	next := p.config
	next.ForwardTo = to
	next.Files = p.list(p.base.files)
	return p.write(ctx, next, p.base.files)
}

// Trail returns the file of a trail as it was last rendered; ok is false when
// there is none.
func (p *Publisher) Trail(ctx context.Context, uid string) (t receiverconfig.Trail, ok bool, err error) {
	if err := p.ready(ctx); err != nil {
		return receiverconfig.Trail{}, false, err
	}
	raw, ok := p.file(uid)
	if !ok {
		return receiverconfig.Trail{}, false, nil
	}
	if t, err = receiverconfig.ParseTrail(raw); err != nil {
		// Written by another version: it will be written again.
		return receiverconfig.Trail{}, false, nil
	}
	return t, true, nil
}

// UIDs returns the UIDs of all trails that are rendered.
func (p *Publisher) UIDs(ctx context.Context) ([]string, error) {
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var uids []string
	for i := range p.shards {
		for name := range p.shards[i].files {
			if uid, ok := receiverconfig.TrailUID(name); ok {
				uids = append(uids, uid)
			}
		}
	}
	slices.Sort(uids)
	return uids, nil
}

// list returns the hashes of every file but receiver.json.
func (p *Publisher) list(base map[string][]byte) map[string]string {
	hashes := map[string]string{}
	add := func(files map[string][]byte) {
		for name, b := range files {
			if name != receiverconfig.FileConfig {
				hashes[name] = record.HexSHA256(b)
			}
		}
	}
	add(base)
	for i := range p.shards {
		add(p.shards[i].files)
	}
	return hashes
}

// holds reports whether the PEM files are rendered as they are.
func (p *Publisher) holds(files map[string][]byte) bool {
	for name, b := range files {
		if !bytes.Equal(p.base.files[name], b) {
			return false
		}
	}
	return len(p.base.files) == len(files)+1
}

// write renders receiver.json as the next generation, with the PEM files.
func (p *Publisher) write(ctx context.Context, next receiverconfig.Config, pem map[string][]byte) error {
	next.Generation++
	files := maps.Clone(pem)
	files[receiverconfig.FileConfig] = record.MustJSON(next)
	if manifests.DataSize(files) > manifests.MaxSecretData {
		return ErrTooLarge
	}
	if err := p.apply(ctx, &p.base, manifests.ReceiverConfigName, files); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config, p.listed = next, true
	return nil
}

// apply writes a Secret, unless somebody else has written it since it was read.
func (p *Publisher) apply(ctx context.Context, s *secret, name string, files map[string][]byte) error {
	version, err := p.made(ctx, s, name)
	ac := manifests.ReceiverConfig(p.namespace, name, version, files)
	if err == nil {
		err = p.client.Apply(ctx, ac, client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
	}
	if err != nil {
		p.forget()
		return fmt.Errorf("writing the receiver's configuration: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.version, s.files = *ac.ResourceVersion, files
	return nil
}

// made returns the version of a Secret, and makes one that was not there: to
// apply it would take over what was made since, and drop its files. It is made
// empty, as only files that were applied go when they are no longer.
func (p *Publisher) made(ctx context.Context, s *secret, name string) (string, error) {
	if s.version != "" {
		return s.version, nil
	}
	empty := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name}}
	err := p.client.Create(ctx, empty)
	return empty.ResourceVersion, err
}

// ready reads what is rendered if that is not known yet. What is known may be
// read while something is written.
func (p *Publisher) ready(ctx context.Context) error {
	p.mu.Lock()
	loaded := p.loaded
	p.mu.Unlock()
	if loaded {
		return nil
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	return p.load(ctx)
}

// load reads what is rendered, once.
func (p *Publisher) load(ctx context.Context) error {
	if p.loaded {
		return nil
	}
	var base secret
	var shards [manifests.ReceiverShards]secret
	if err := p.read(ctx, manifests.ReceiverConfigName, &base); err != nil {
		return err
	}
	for i := range shards {
		if err := p.read(ctx, manifests.ReceiverShardName(i), &shards[i]); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base, p.shards, p.config = base, shards, receiverconfig.Config{}
	if raw, ok := p.base.files[receiverconfig.FileConfig]; ok {
		// One that cannot be read is rendered anew, by SetBase at the start.
		p.config, _ = receiverconfig.ParseConfig(raw)
	}
	p.loaded, p.listed = true, false
	return nil
}

func (p *Publisher) read(ctx context.Context, name string, into *secret) error {
	var s corev1.Secret
	err := p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: name}, &s)
	switch {
	case apierrors.IsNotFound(err):
		*into = secret{files: map[string][]byte{}}
	case err != nil:
		return fmt.Errorf("reading the receiver's configuration: %w", err)
	default:
		*into = secret{version: s.ResourceVersion, files: s.Data}
		if into.files == nil {
			into.files = map[string][]byte{}
		}
	}
	return nil
}
