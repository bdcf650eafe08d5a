package pebble

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func (s *store) Get(key string) ([]byte, error) {
	if !s.enter() {
		return nil, spool.ErrClosed
	}
	defer s.users.Done()
	value, err := s.get(stateKey(key))
	if err != nil {
		return nil, fmt.Errorf("spool: cannot read state %q: %w", key, err)
	}
	return value, s.awaitState()
}

func (s *store) Scan(prefix string, fn func(key string, value []byte) error) error {
	if !s.enter() {
		return spool.ErrClosed
	}
	defer s.users.Done()
	lower, upper := stateBounds(prefix)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("spool: cannot read state %q: %w", prefix, err)
	}
	defer func() { _ = iter.Close() }()
	if err := s.awaitState(); err != nil {
		return err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return fmt.Errorf("spool: cannot read state %q: %w", prefix, err)
		}
		if err := fn(string(iter.Key()[1:]), value); err != nil {
			return err
		}
	}
	if err := iter.Error(); err != nil {
		return fmt.Errorf("spool: cannot read state %q: %w", prefix, err)
	}
	return nil
}

// awaitState returns when all that was visible before the call is durable.
// Pebble shows a document before its sync has returned; who acted on it, and
// then lost it with the power, would act twice.
func (s *store) awaitState() error {
	return s.durable.wait(context.Background(), s.failed, errFailed, s.stateApplied.Load())
}

// presentState is a document as the batch of the group will leave it.
func (s *store) presentState(g *group, key string) ([]byte, error) {
	if value, ok := g.state[key]; ok {
		return value, nil
	}
	return s.get(stateKey(key))
}
