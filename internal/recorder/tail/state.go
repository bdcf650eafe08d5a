package tail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

const (
	stateFile    = "state.json"
	lockFile     = "lock"
	stateVersion = 1
	// maxState bounds what is read as a state: names of files, mostly.
	maxState = 1 << 20
)

// state is what a tail knows after it was ended at any moment. It is written as
// a whole before each POST: the bytes from Offset to To of one file are, or were,
// under way as Sequence. A state whose range is empty has nothing under way.
type state struct {
	Version int `json:"version"`
	// Source is drawn when the state is made. It stands for this log.
	Source   string `json:"source"`
	Sequence int64  `json:"sequence"`
	// Since is when tails were switched on, as FileSince tells. What was sent in
	// another time has nothing to do with this one.
	Since string `json:"since,omitempty"`
	// Begun is false until the tail knows where in the log it begins.
	Begun bool `json:"begun"`

	Offset int64 `json:"offset"`
	To     int64 `json:"to"`
	// Mark tells the file by what stands before To; without one, the next file
	// that was not read is meant, from its beginning.
	Mark mark `json:"mark,omitzero"`

	// Read are the rotated files that were read to their end, and Waiting those
	// that come after the present one, without the ending of compressed files.
	Read    []string `json:"read,omitempty"`
	Waiting []string `json:"waiting,omitempty"`
}

func (s *state) underWay() bool { return s.To > s.Offset }

// clone returns a copy that can be changed.
func (s *state) clone() *state {
	c := *s
	c.Read, c.Waiting = slices.Clone(s.Read), slices.Clone(s.Waiting)
	return &c
}

// store keeps a state in a folder.
type store struct {
	dir  string
	lock *os.File
}

var errLocked = errors.New("another tail uses this state; each audit log has one tail")

// openStore makes the folder and locks it: two tails with one state would send
// different events under one number.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the folder of the state: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the lock of the state: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("the lock of the state: %w", err)
	}
	return &store{dir, lock}, nil
}

func (s *store) close() error { return s.lock.Close() }

// load returns the state, nil if there is none yet.
func (s *store) load() (*state, error) {
	path := filepath.Join(s.dir, stateFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the state: %w", err)
	}
	defer f.Close()
	raw := make([]byte, maxState+1)
	n, err := readFull(f, raw)
	if err != nil {
		return nil, fmt.Errorf("the state: %w", err)
	}
	var st state
	switch err := json.Unmarshal(raw[:n], &st); {
	case err != nil, n > maxState:
		return nil, fmt.Errorf("%s is no state of a tail; delete it to begin anew with what is written from now on", path)
	case st.Version != stateVersion:
		return nil, fmt.Errorf("%s is of version %d, this program knows version %d: run the version of the recorder that wrote it", path, st.Version, stateVersion)
	case uuid.Validate(st.Source) != nil, st.Sequence < 0, st.Offset < 0, st.To < st.Offset:
		return nil, fmt.Errorf("%s is damaged; delete it to begin anew with what is written from now on", path)
	}
	return &st, nil
}

// save returns when the state is durable.
func (s *store) save(st *state) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, stateFile)
	if err := writeSynced(path+".new", raw); err != nil {
		return fmt.Errorf("the state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("the state: %w", err)
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("the state: %w", err)
	}
	err = dir.Sync()
	if err := errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("the state: %w", err)
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
