package pebble

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// repairSuffix names the folder of a database that is being salvaged,
	// damagedSuffix those of the ones that were.
	repairSuffix, damagedSuffix = ".repair", ".damaged-"
	// maxRepairs is how many damaged spools may lie beside a spool: they are the
	// only copies of what could not be salvaged, and never deleted by us.
	maxRepairs = 8
)

// passes reports whether an error is the system's, and may not come again: no
// space, too many open files, an error of the disk. Everything else that keeps a
// database from being opened is in its files.
func passes(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && errno != syscall.ENOENT || errors.Is(err, iofs.ErrPermission) || errors.Is(err, errNewer)
}

var errNewer = errors.New("it was written by a newer version of this program")

// openOrRepair opens the database. One whose files are damaged is put aside
// whole, and a new one made of all that can still be read.
func (s *store) openOrRepair() error {
	if err := s.finishRepair(); err != nil {
		return err
	}
	err := s.openChecked()
	if err == nil || passes(err) {
		return err
	}
	s.opts.Logger.Error(err, "spool: it is damaged; what can be read is salvaged")
	if err := s.repair(); err != nil {
		return fmt.Errorf("%w; nothing was changed: copy the folder before any repair, or start with an empty volume", err)
	}
	return s.openChecked()
}

// openChecked opens the database and reads where its log stands, and all state
// once: what cannot be read shall be known now.
func (s *store) openChecked() error {
	fs := s.opts.FS
	var err error
	if s.aside, err = openAside(fs, fs.PathJoin(s.dir, "damaged"), s.opts.Logger); err != nil {
		return err
	}
	desc, err := pebble.Peek(s.dir, fs)
	if err != nil {
		return err
	}
	if desc.FormatMajorVersion > formatVersion {
		return fmt.Errorf("%w (format %d)", errNewer, desc.FormatMajorVersion)
	}
	// Pebble would begin anew, and delete what it finds.
	if _, noted, err := readNote(fs, s.dir); err != nil || noted && !desc.Exists {
		return errors.Join(err, errors.New("the files that say what belongs to the spool are gone"))
	}
	if desc.Exists {
		if err := checkManifest(fs, desc.ManifestFilename); err != nil {
			return err
		}
	}
	s.keepLogs()
	s.compactions = newScheduler() // which serves one database
	if s.db, err = pebble.Open(s.dir, s.pebbleOptions()); err != nil {
		return err
	}
	if err = s.recover(); err == nil {
		err = s.readState()
	}
	if err == nil {
		err = s.forgetLogs(false)
	}
	if err != nil {
		err = errors.Join(err, s.db.Close())
		s.db = nil
	}
	return err
}

// checkManifest reads a manifest to its end. Pebble stops at the first record that
// is not whole, and forgets the tables that the rest would name. One that was
// torn by a power loss is refused too: nothing is lost by salvaging.
func checkManifest(fs vfs.FS, name string) error {
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r := record.NewReader(f, 0)
	for {
		edit, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, edit)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the manifest is damaged: %w", err)
		}
	}
}

// readState reads all documents.
func (s *store) readState() error {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{metaPrefix}, UpperBound: []byte{statePrefix + 1}})
	if err != nil {
		return err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		if _, err := iter.ValueAndErr(); err != nil {
			return errors.Join(err, iter.Close())
		}
	}
	return errors.Join(iter.Error(), iter.Close())
}

// finishRepair puts a salvaged database in its place: the process has ended
// between the two renames.
func (s *store) finishRepair() error {
	fs := s.opts.FS
	if _, err := fs.Stat(s.dir); err == nil || !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if _, err := fs.Stat(s.dir + repairSuffix); err != nil {
		return nil //nolint:nilerr // a new volume
	}
	return errors.Join(fs.Rename(s.dir+repairSuffix, s.dir), syncFolder(fs, fs.PathDir(s.dir)))
}

// repair makes a new database of what can be read. It takes the place of the
// damaged one when it is complete and durable, and not before.
func (s *store) repair() (err error) {
	fs := s.opts.FS
	aside := ""
	for n := 1; aside == ""; n++ {
		if n > maxRepairs {
			return fmt.Errorf("%d damaged spools lie beside %s already: move them away after a look at them", maxRepairs, s.dir)
		}
		name := fmt.Sprint(s.dir, damagedSuffix, n)
		if _, err := fs.Stat(name); errors.Is(err, iofs.ErrNotExist) {
			aside = name
		} else if err != nil {
			return err
		}
	}
	lock, err := pebble.LockDirectory(s.dir, fs)
	if err != nil {
		return err
	}
	defer func() {
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	to := s.dir + repairSuffix
	if err := fs.RemoveAll(to); err != nil {
		return err
	}
	found, err := s.salvage(to)
	if err != nil {
		return err
	}
	err, lock = lock.Close(), nil
	if err != nil {
		return err
	}
	parent := fs.PathDir(s.dir)
	for _, move := range [][2]string{{s.dir, aside}, {to, s.dir}} {
		if err := errors.Join(fs.Rename(move[0], move[1]), syncFolder(fs, parent)); err != nil {
			return err
		}
	}
	s.opts.Logger.Error(nil, "spool: what could be read was salvaged; the damaged files are kept", "folder", aside, "unreadable", found.unreadable)
	return nil
}

// salvage fills a new database, with the note of the old one.
func (s *store) salvage(to string) (found *salvage, err error) {
	fs := s.opts.FS
	db, err := pebble.Open(to, &pebble.Options{
		FS: fs, FormatMajorVersion: formatVersion, MemTableSize: memTableSize, Logger: logger{s.opts.Logger, s.opts.Fatal},
	})
	if err != nil {
		return nil, err
	}
	found, err = salvageInto(fs, s.dir, db)
	if err == nil {
		err = db.Flush()
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	before, ok, err := readNote(fs, s.dir)
	if err != nil || !ok {
		return found, err
	}
	n, err := openNote(fs, to, s.opts.Logger)
	if err != nil {
		return nil, err
	}
	n.write(before)
	return found, n.close()
}
