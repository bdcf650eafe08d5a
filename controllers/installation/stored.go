package installation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// secret is a Secret as it was last seen or written.
type secret struct {
	version string // empty: does not exist
	files   map[string][]byte
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
	p.base, p.shards = base, shards
	p.readConfig()
	p.loaded, p.listed, p.renewed = true, false, false
	return nil
}

// readConfig reads receiver.json. Of one that no receiver would load it takes
// what can still be told, and keeps the rest as it was known before.
func (p *Publisher) readConfig() {
	raw := p.base.files[receiverconfig.FileConfig]
	c, err := receiverconfig.ParseConfig(raw)
	if p.sound = err == nil; p.sound {
		for name := range c.Files {
			_, isTrail := receiverconfig.TrailUID(name)
			p.sound = p.sound && (isTrail || p.base.files[name] != nil)
		}
		p.config = c
		return
	}
	c = receiverconfig.RecoverConfig(raw)
	p.config.Generation = max(p.config.Generation, c.Generation)
	if c.Kinds.Snapshot > p.config.Kinds.Snapshot {
		p.config.Kinds = c.Kinds
	}
	if c.ForwardTo != nil {
		p.config.ForwardTo = c.ForwardTo
	}
	if c.Tail != nil {
		p.config.Tail = c.Tail
	}
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
