package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// keyHash stands for an object key in sets of millions: the first half of its
// SHA-256.
type keyHash [16]byte

func hashKey(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:16])
}

// readAhead is the number of digests whose lists are open at the same time.
const readAhead = 4

// checkLogFiles compares every log file that a valid digest lists with its hash.
// The digests are read again for it: their lists together may be larger than
// memory.
func (v *verifier) checkLogFiles(ctx context.Context) error {
	v.listed = make(map[keyHash]struct{})
	total := 0
	for _, l := range v.links {
		if l.ok {
			total += l.files
		}
	}
	if total > maxLogFiles {
		return fmt.Errorf("%w: the digests list %d log files, more than %d; choose a shorter time with --start-time and --end-time", ErrTooLarge, total, maxLogFiles)
	}
	v.advance(func(p *Progress) { p.LogFilesTotal = total })

	g, ctx := errgroup.WithContext(ctx)
	files := make(chan listedFile)
	g.Go(func() error {
		defer close(files)
		lists, ctx := errgroup.WithContext(ctx)
		lists.SetLimit(readAhead)
		for _, l := range v.links {
			if l.ok && l.files > 0 {
				lists.Go(func() error { return v.sendFiles(ctx, l, files) })
			}
		}
		return lists.Wait()
	})
	for range v.Workers {
		g.Go(func() error {
			for f := range files {
				if err := v.checkLogFile(ctx, f); err != nil {
					return fmt.Errorf("reading the log file %q: %w", f.S3Object, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// listedFile is a log file and the digest that lists it.
type listedFile struct {
	record.DigestLogFile
	in *link
}

// sendFiles sends the log files of one digest.
func (v *verifier) sendFiles(ctx context.Context, l *link, files chan<- listedFile) error {
	c, err := v.inflate(ctx, l.key, maxDigest, true)
	var d damage
	if errors.Is(err, objectstore.ErrNotExist) || errors.As(err, &d) || (err == nil && c.hash != l.hash) {
		v.findings.add(DigestInvalid, l.key, "the digest changed while it was validated")
		l.ok = false
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the digest %q: %w", l.key, err)
	}
	parsed, err := parseDigest(c.bytes)
	if err != nil {
		return fmt.Errorf("reading the digest %q again: %w", l.key, err)
	}
	for _, f := range parsed.digest.LogFiles {
		select {
		case files <- listedFile{f, l}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (v *verifier) checkLogFile(ctx context.Context, f listedFile) error {
	result, err := v.compareLogFile(ctx, f)
	if err != nil {
		return err
	}
	v.advance(func(p *Progress) {
		p.LogFiles++
		v.logFiles.Valid += result.Valid
		v.logFiles.Expired += result.Expired
		v.logFiles.Archived += result.Archived
	})
	return nil
}

// compareLogFile counts the log file as one thing or none.
func (v *verifier) compareLogFile(ctx context.Context, f listedFile) (Count, error) {
	if f.S3Bucket != v.Bucket {
		v.findings.add(LogFileElsewhere, f.S3Object, "its digest places the log file in the bucket %q", f.S3Bucket)
		return Count{}, nil
	}
	if f.HashAlgorithm != record.HashAlgorithm {
		v.findings.add(LogFileInvalid, f.S3Object, "its digest uses another hash algorithm than %s", record.HashAlgorithm)
		return Count{}, nil
	}
	if v.markListed(f.S3Object) {
		v.findings.add(LogFileDuplicate, f.S3Object, "the log file is listed more than once")
		return Count{}, nil
	}
	c, err := v.inflate(ctx, f.S3Object, maxLogFile, false)
	var d damage
	switch {
	case errors.Is(err, objectstore.ErrNotExist) && f.in.lifecycle.logs.over(f.in.end, v.now):
		v.notices.add(LogFileExpired, f.S3Object, "the log file has expired %d days after its digest", f.in.lifecycle.logs)
		return Count{Expired: 1}, nil
	case errors.Is(err, objectstore.ErrArchived) && !f.in.lifecycle.archive.over(f.in.end, v.now):
		v.findings.add(LogFileUnreadable, f.S3Object, "the log file is archived, and no lifecycle rule in a digest does that; restore it and validate again")
		return Count{}, nil
	case errors.Is(err, objectstore.ErrArchived):
		v.notices.add(LogFileArchived, f.S3Object, "the log file is archived; restore it to validate it")
		return Count{Archived: 1}, nil
	case errors.Is(err, objectstore.ErrNotExist):
		v.findings.add(LogFileMissing, f.S3Object, "the log file is missing")
		return Count{}, nil
	case errors.Is(err, fs.ErrInvalid):
		v.findings.add(LogFileInvalid, f.S3Object, "the key of the log file is not a path within the folder")
		return Count{}, nil
	case errors.As(err, &d):
		v.findings.add(LogFileInvalid, f.S3Object, "the log file cannot be read: %s", d)
		return Count{}, nil
	case err != nil:
		return Count{}, err
	case c.hash != f.HashValue:
		v.findings.add(LogFileInvalid, f.S3Object, "the log file was changed: its hash value is not the one in its digest")
		return Count{}, nil
	}
	return Count{Valid: 1}, nil
}

// markListed notes that a digest lists the key, and tells whether another did.
func (v *verifier) markListed(key string) bool {
	h := hashKey(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	_, again := v.listed[h]
	v.listed[h] = struct{}{}
	return again
}

// Times between the storing of a log file and the digest that lists it.
const (
	// settle is how much later than the store's own time a file may count as
	// delivered: its clock and ours differ, and a confirmation may be repeated.
	settle = 15 * time.Minute
	// maxDelay is how long a file may wait for its bucket.
	maxDelay = 31 * 24 * time.Hour
)

// findUnlisted looks for objects among the log files that no valid digest
// lists. It returns how many are too new for the digests that were read.
func (v *verifier) findUnlisted(ctx context.Context) (undigested int, err error) {
	covered := v.covered()
	prefix, after := v.Layout.LogFiles(), ""
	if !v.Start.IsZero() {
		after = prefix + v.Start.Add(-maxDelay).UTC().Format("2006/01/02")
	}
	for info, err := range v.list(ctx, prefix, after) {
		if err != nil {
			return 0, fmt.Errorf("listing the log files: %w", err)
		}
		if !v.complete && info.Key > prefix+covered.end.AddDate(0, 0, 1).Format("2006/01/02") {
			break // closed after the last digest that was read
		}
		v.advance(func(p *Progress) { p.Listed++ })
		if _, ok := v.listed[hashKey(info.Key)]; ok {
			continue
		}
		if info.Modified.IsZero() {
			if info.Modified, err = v.modified(ctx, info.Key); errors.Is(err, objectstore.ErrNotExist) {
				continue // it has disappeared since
			} else if err != nil {
				return 0, fmt.Errorf("looking at %q: %w", info.Key, err)
			}
		}
		switch {
		case covered.tooNew(info):
			undigested++
		case !v.Start.IsZero() && info.Modified.Before(v.Start.Add(settle)):
			// Stored before the range: an older digest lists it, or its own range tells.
		default:
			v.findings.add(LogFileUnlisted, info.Key, "no valid digest lists this file")
		}
	}
	return undigested, nil
}

// modified asks for the time of an object whose listing does not tell it.
func (v *verifier) modified(ctx context.Context, key string) (time.Time, error) {
	body, info, err := v.Reader.Get(ctx, key)
	if err != nil {
		return time.Time{}, err
	}
	return info.Modified, body.Close()
}

// coverage is how far the digests reach that are there or, as a head says, must
// be there.
type coverage struct {
	end time.Time
	// final: everything that was delivered until end is in a digest. Without it
	// the next digest may still list what was stored shortly before.
	final bool
}

func (v *verifier) covered() coverage {
	var c coverage
	if len(v.links) > 0 {
		newest := v.newest()
		c = coverage{newest.end, newest.ok && newest.d.Final && v.complete}
	}
	for i := range v.Heads {
		if end, _ := v.digestEnd(v.Heads[i].Object); v.complete && end.After(c.end) {
			c = coverage{end, v.Heads[i].Final}
		}
	}
	return c
}

// tooNew tells whether the next digest may still list the file. A final digest
// is made when everything has been delivered, so after it only files of the next
// chain can come.
func (c coverage) tooNew(info objectstore.Info) bool {
	if c.final {
		if closed, ok := record.LogFileTime(info.Key); !ok || closed.Before(c.end.Truncate(time.Minute)) {
			return false
		}
	}
	return info.Modified.After(c.end.Add(-settle))
}
