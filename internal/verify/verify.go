// Package verify checks the digests and log files of one trail against each
// other, and finds what was changed, removed, added or cut off. It reads a
// bucket, or a folder laid out like one; whatever it reads is taken as hostile.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Reader is the part of an objectstore.Store that verification needs. Folder
// is the other implementation.
type Reader interface {
	// Get opens an object, or returns objectstore.ErrNotExist.
	Get(ctx context.Context, key string) (io.ReadCloser, objectstore.Info, error)
	// List yields the objects under prefix in lexicographic order, those after
	// startAfter only. Where it costs extra, it yields keys alone.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error]
}

// Options say what to verify, and against what.
type Options struct {
	Reader Reader
	Layout record.Layout
	Trail  string // CloudTrail name
	// Bucket is the one that digests must name as theirs. Empty, which only
	// makes sense for a folder, means: whichever one it is, the same in all.
	Bucket string
	// Start and End limit the digests to those that cover any of the time
	// between them; zero means no limit.
	Start, End time.Time

	// Keys are public keys from outside the bucket. Without any, the keys that
	// were published in the bucket are used.
	Keys []record.PublishedKey
	// Trust is the hex SHA-256 of the installation's first public key (PKCS#1
	// DER). With it only that key and its successors count.
	Trust string
	// Heads are digests that must exist, as known from outside the bucket: the
	// newest one from the trail's status, and anchors that were kept elsewhere.
	Heads []record.Head
	// DetachedSignatures is set for a copy that may have lost the objects'
	// metadata: a signature that is not there is then taken from the next
	// digest, or from one of Heads.
	DetachedSignatures bool

	// Clock tells what has expired by now; nil is the real one.
	Clock clock.PassiveClock
	// Workers is the number of objects read at the same time; 0 means 8.
	Workers int
	// Progress, if set, is called after every object, never concurrently.
	Progress func(Progress)
}

// Progress counts what was read so far. The number of log files is known when
// all digests have been read.
type Progress struct {
	Digests, DigestsTotal   int
	LogFiles, LogFilesTotal int
	// Listed counts objects looked at in search of log files without a digest.
	Listed int
}

// ErrNoDigests is returned when there is nothing to verify.
var ErrNoDigests = errors.New("no digest of the trail was found")

// ErrTooLarge is returned when there is more than fits into one run.
var ErrTooLarge = errors.New("too much for one validation")

// Limits on what a hostile bucket can make us hold. They are variables for
// tests only.
var (
	maxDigests  = 50_000    // in one run, about 5 years of hours
	maxLogFiles = 4_000_000 // in one run
)

const defaultWorkers = 8

// Run verifies. The error says why nothing can be said: an unreadable store, a
// contradictory question, a run that is too large. Whatever is wrong with the
// trail itself is a finding of the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	v, err := newVerifier(o)
	if err != nil {
		return nil, err
	}
	return v.run(ctx)
}

func newVerifier(o Options) (*verifier, error) {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	for i := range o.Heads {
		if err := checkHead(&o, &o.Heads[i]); err != nil {
			return nil, err
		}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.Trust = strings.ToLower(o.Trust)
	if !o.Start.IsZero() && !o.End.IsZero() && !o.End.After(o.Start) {
		return nil, errors.New("the end time must be after the start time")
	}
	return &verifier{Options: o, now: o.Clock.Now(), retryDelay: time.Second}, nil
}

func checkHead(o *Options, h *record.Head) error {
	arn := record.TrailARN(o.Layout.Region, o.Layout.Account, o.Trail)
	if h.TrailARN != arn {
		return fmt.Errorf("the head belongs to the trail %q, not to %q", h.TrailARN, arn)
	}
	if o.Bucket != "" && h.Bucket != o.Bucket {
		return fmt.Errorf("the head belongs to the bucket %q, not to %q", h.Bucket, o.Bucket)
	}
	if name, ok := record.ParseDigestKey(h.Object); !ok || o.Layout.Digest(o.Trail, name.End) != h.Object {
		return fmt.Errorf("the head names the object %q, which is no digest of the trail", h.Object)
	}
	return nil
}

// verifier is the state of one run.
type verifier struct {
	Options
	now        time.Time
	findings   findings
	notices    findings
	notes      []string
	gaps       []Gap
	keys       keyring
	retryDelay time.Duration

	// oldest is the end of the trail's first digest, which may lie before Start.
	oldest time.Time
	// complete is true when no digest lies behind the last of the links.
	complete bool
	links    []*link // in order of time
	byKey    map[string]*link

	mu       sync.Mutex // guards what follows
	progress Progress
	listed   map[keyHash]struct{} // log files that a valid digest lists
	logFiles Count                // all but its Total
}

func (v *verifier) run(ctx context.Context) (*Result, error) {
	if err := v.loadKeys(ctx); err != nil {
		return nil, err
	}
	if err := v.readDigests(ctx); err != nil {
		return nil, err
	}
	v.authenticate()
	v.collectRules()
	v.checkChain()
	v.checkHeads()
	v.noteTimes()
	if err := v.checkLogFiles(ctx); err != nil {
		return nil, err
	}
	undigested, err := v.findUnlisted(ctx)
	if err != nil {
		return nil, err
	}
	return v.result(undigested), nil
}

func (v *verifier) result(undigested int) *Result {
	found, omitted := v.findings.sorted()
	notices, noticesOmitted := v.notices.sorted()
	v.logFiles.Total = v.progress.LogFilesTotal
	r := &Result{
		TrailARN:        record.TrailARN(v.Layout.Region, v.Layout.Account, v.Trail),
		Bucket:          v.Bucket,
		KeySource:       v.keys.source,
		KeysPinned:      v.keys.pinned,
		HeadChecked:     len(v.Heads) > 0,
		Digests:         Count{Total: len(v.links)},
		LogFiles:        v.logFiles,
		Undigested:      undigested,
		Gaps:            v.gaps,
		Notes:           v.notes,
		Findings:        found,
		FindingsOmitted: omitted,
		Notices:         notices,
		NoticesOmitted:  noticesOmitted,
		Valid:           len(found) == 0,
	}
	for _, l := range v.links {
		if !l.ok {
			continue
		}
		r.Digests.Valid++
		if r.Start.IsZero() {
			r.Start = l.start
		}
		r.End = l.end
	}
	return r
}

// advance reports progress after change has updated it.
func (v *verifier) advance(change func(*Progress)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.progress)
	if v.Progress != nil {
		v.Progress(v.progress)
	}
}
