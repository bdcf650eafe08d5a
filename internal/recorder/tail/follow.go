package tail

import (
	"errors"
	"io/fs"
	"os"
	"slices"
)

// open opens the file that the state means, and reports whether there is one.
func (t *Tail) open() (bool, error) {
	files, err := t.survey()
	if err != nil {
		return false, err
	}
	t.hit("tail/before-open")
	if t.state.To > 0 {
		ok, err := t.find(files)
		if ok || err != nil {
			return ok, err
		}
		t.lost("deleted", "", "the file that was read when the tail ended is not there any more: what it had besides, and files after it, may never have been sent")
		// The receiver's mark shows whether it got what was under way.
		next := t.state.clone()
		next.Offset, next.To, next.Mark = 0, 0, mark{}
		if err := t.store.save(next); err != nil {
			return false, err
		}
		t.state = next
	}
	for i := range files {
		if !slices.Contains(t.state.Read, files[i].base) {
			return t.read(files[i].name(), files[i].base)
		}
	}
	ok, err := t.read(t.folder.active, "")
	if err != nil {
		return false, err
	}
	// What was rotated since the list was made comes first.
	again, err := t.folder.list()
	for i := range again {
		if !slices.Contains(t.state.Read, again[i].base) {
			t.leave()
			return false, errRotating
		}
	}
	if !ok && err == nil {
		t.isCaughtUp()
		if !t.absent {
			t.absent = true
			t.o.Log.Info("There is no audit log yet", "path", t.o.Path)
		}
	}
	return ok, err
}

// read opens a file at its beginning. One that is gone again is looked for in
// the next step.
func (t *Tail) read(name, base string) (bool, error) {
	l, err := openFile(t.folder.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, permission(err)
	}
	return t.readFrom(l, base, 0)
}

func (t *Tail) readFrom(l *logFile, base string, offset int64) (bool, error) {
	w, err := newWindow(l, offset)
	if err != nil {
		l.close()
		return false, err
	}
	t.w, t.name, t.rotated = w, base, base != ""
	return true, nil
}

// find opens the file that has the mark of the state.
func (t *Tail) find(files []rotated) (bool, error) {
	candidates := []rotated{{base: t.folder.active, plain: true}}
	for _, f := range files {
		if !slices.Contains(t.state.Read, f.base) {
			candidates = append(candidates, f)
		}
	}
	for i, f := range candidates {
		l, err := openFile(t.folder.path(f.name()))
		if err != nil {
			switch {
			case errors.Is(err, fs.ErrNotExist) && i == 0:
				continue
			case errors.Is(err, fs.ErrNotExist):
				return false, errRotating
			}
			return false, permission(err)
		}
		ok, err := l.has(t.state.Mark, t.state.To)
		if err != nil || !ok {
			l.close()
			if err != nil {
				return false, err
			}
			continue
		}
		if i == 0 {
			f.base = ""
		}
		return t.readFrom(l, f.base, t.state.Offset)
	}
	// Between the list and the look at the active file it may have been rotated.
	again, err := t.folder.list()
	if err == nil && !slices.EqualFunc(files, again, sameName) {
		err = errRotating
	}
	return false, err
}

// errRotating says that the folder has changed meanwhile, and is to be read again.
var errRotating = errors.New("the audit log is being rotated")

// finish leaves a file that was read to its end.
func (t *Tail) finish() error {
	if t.w.damaged {
		t.lost("damaged", t.name, errDamaged.Error())
	}
	files, err := t.survey()
	if err != nil {
		return err
	}
	next := t.state.clone()
	next.Offset, next.To, next.Mark = 0, 0, mark{}
	next.Read = slices.DeleteFunc(next.Read, func(base string) bool { return !contains(files, base) })
	if t.name != "" {
		next.Read = append(next.Read, t.name)
	}
	t.hit("tail/before-finish")
	if err := t.store.save(next); err != nil {
		return err
	}
	t.hit("tail/after-finish")
	t.state = next
	t.leave()
	return nil
}

func contains(files []rotated, base string) bool {
	return slices.ContainsFunc(files, func(f rotated) bool { return f.base == base })
}

// survey looks at the folder: what waits, what is gone unread, how far behind
// the tail is.
func (t *Tail) survey() ([]rotated, error) {
	files, err := t.folder.list()
	if err != nil {
		return nil, permission(err)
	}
	t.surveyed = t.o.Clock.Now()
	if t.w != nil && t.name == "" && !t.w.file.sameFile(t.o.Path) {
		t.name = t.rotatedName(files)
	}
	var waiting []string
	var behind int64
	for _, f := range files {
		if f.base != t.name && !slices.Contains(t.state.Read, f.base) {
			waiting = append(waiting, f.base)
			behind += f.size
		}
	}
	lost := slices.DeleteFunc(slices.Clone(t.state.Waiting), func(base string) bool { return base == t.name || contains(files, base) })
	t.state.Waiting = waiting
	if len(lost) > 0 { // each is counted once, also over a restart
		if err := t.store.save(t.state); err != nil {
			return nil, err
		}
	}
	for _, base := range lost {
		t.lost("deleted", base, "a file of the audit log was deleted before it was read")
	}
	if t.w != nil && !t.w.file.zipped {
		if info, err := t.w.file.f.Stat(); err == nil {
			behind += max(0, info.Size()-t.state.Offset)
		}
	}
	t.metrics.behindBytes.Set(float64(behind))
	t.metrics.behindSeconds.Set(t.surveyed.Sub(t.caughtUp).Seconds())
	return files, nil
}

// rotatedName finds the name under which the file that is read stands in the
// folder since its rotation; none when it was deleted.
func (t *Tail) rotatedName(files []rotated) string {
	for _, f := range files {
		if slices.Contains(t.state.Read, f.base) {
			continue
		}
		path := t.folder.path(f.name())
		if f.plain {
			if t.w.file.sameFile(path) {
				return f.base
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			path = t.folder.path(f.base + compressed) // it was compressed meanwhile
		}
		if len(t.w.head) == 0 {
			continue
		}
		// Compressed, it is another file with the same content.
		l, err := openFile(path)
		if err != nil {
			continue
		}
		same := l.begins(t.w.head)
		l.close()
		if same {
			return f.base
		}
	}
	return ""
}
