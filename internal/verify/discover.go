package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Target is a trail that has digests.
type Target struct {
	Layout record.Layout
	Trail  string
}

// maxTargets bounds what Discover finds.
const maxTargets = 1000

// Discover finds the trails whose digests lie in a folder. It looks at every
// key, so it is not meant for a bucket.
func Discover(ctx context.Context, r Reader) ([]Target, error) {
	seen := map[Target]bool{}
	var targets []Target
	for info, err := range r.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("looking for digests: %w", err)
		}
		t, ok := ParseTarget(info.Key)
		if !ok || seen[t] {
			continue
		}
		if len(targets) == maxTargets {
			return nil, errors.New("there are too many trails in the folder")
		}
		seen[t] = true
		targets = append(targets, t)
	}
	slices.SortFunc(targets, func(a, b Target) int { return strings.Compare(a.key(), b.key()) })
	return targets, nil
}

func (t Target) key() string { return t.Layout.Digests() + t.Trail }

// ParseTarget reads the trail out of the key of one of its digests.
func ParseTarget(key string) (Target, bool) {
	name, ok := record.ParseDigestKey(key)
	if !ok {
		return Target{}, false
	}
	t := Target{record.Layout{Account: name.Account, Region: name.Region}, name.Trail}
	const logs = "AWSLogs/"
	at := strings.LastIndex(key, logs)
	if at < 0 || at > 0 && key[at-1] != '/' {
		return Target{}, false
	}
	t.Layout.Prefix = strings.TrimSuffix(key[:at], "/")
	if first, _, _ := strings.Cut(key[at+len(logs):], "/"); first != name.Account {
		t.Layout.Organization = first
	}
	// Whatever was misread does not lead back to the key.
	return t, t.Layout.Digest(t.Trail, name.End) == key
}
