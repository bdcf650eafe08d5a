package installation

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// errNoBase keeps a manager that has just begun to lead from rendering half a
// configuration. The Keeper mends it.
var errNoBase = errors.New("the receiver's configuration was changed by hand or by another version, and is not mended yet")

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
	// for waiting and later.
	mu      sync.Mutex
	waiting []*change
	later   map[string]*change // by UID, of PutLater
	loaded  bool
	listed  bool // receiver.json is known to list the files of the shards
	base    secret
	shards  [manifests.ReceiverShards]secret
	// config is receiver.json. While sound is false, no receiver would load what
	// is stored, and config is what is known of it beside the installation's part.
	config receiverconfig.Config
	sound  bool
	// renewed: no file of a trail is in the form of another version, unless it
	// cannot be helped.
	renewed bool
	// installed is the installation's part since this manager leads; nil before.
	installed *Base
}

// NewPublisher returns a Publisher for the Secrets of namespace.
func NewPublisher(c client.Client, namespace string) *Publisher {
	return &Publisher{client: c, namespace: namespace}
}

// Base is the installation's part of the configuration.
type Base struct {
	Config receiverconfig.Config // without Version, Generation, Kinds, ForwardTo, Tail and Files
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
	p.installed = &b
	if err := p.renew(ctx); err != nil {
		return err
	}
	return p.setBase(ctx, b)
}

func (p *Publisher) setBase(ctx context.Context, b Base) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	next := p.with(&b)
	next.Files = p.list(b.PEM)
	if p.sound && bytes.Equal(record.MustJSON(next), record.MustJSON(p.config)) && p.holds(b.PEM) { // an empty list is none
		return nil
	}
	return p.write(ctx, next, b.PEM)
}

// with is the configuration with this part of the installation.
func (p *Publisher) with(b *Base) receiverconfig.Config {
	next := b.Config
	next.Version = receiverconfig.Version
	next.Generation, next.Kinds, next.ForwardTo, next.Tail = p.config.Generation, p.config.Kinds, p.config.ForwardTo, p.config.Tail
	return next
}

// draft is the configuration to change, with its PEM files: what is rendered
// or, when that was spoiled, what it was made of.
func (p *Publisher) draft() (next receiverconfig.Config, pem map[string][]byte, err error) {
	switch {
	case p.sound:
		next, pem = p.config, p.base.files
	case p.installed == nil:
		return receiverconfig.Config{}, nil, errNoBase
	default:
		next, pem = p.with(p.installed), p.installed.PEM
	}
	next.Files = p.list(pem)
	return next, pem, nil
}

// Kinds returns the kinds that are rendered.
func (p *Publisher) Kinds(ctx context.Context) ([]receiverconfig.Kind, error) {
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config.Kinds.List, nil
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
	next, pem, err := p.draft()
	if err != nil {
		return err
	}
	next.Kinds = receiverconfig.Kinds{Snapshot: p.config.Kinds.Snapshot + 1, List: list}
	return p.write(ctx, next, pem)
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
	next, pem, err := p.draft()
	if err != nil {
		return err
	}
	next.ForwardTo = to
	return p.write(ctx, next, pem)
}

// SetTail renders by what tails are known, if it differs from what is rendered;
// nil means that there are none.
func (p *Publisher) SetTail(ctx context.Context, to *receiverconfig.Tail) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.load(ctx); err != nil {
		return err
	}
	if reflect.DeepEqual(to, p.config.Tail) {
		return nil
	}
	next, pem, err := p.draft()
	if err != nil {
		return err
	}
	next.Tail = to
	return p.write(ctx, next, pem)
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
	if t, err = receiverconfig.ParseTrail(raw); err != nil { // another version's
		t, ok = receiverconfig.RecoverTrail(raw)
	}
	return t, ok, nil
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
	p.config, p.sound, p.listed = next, true, true
	return nil
}
