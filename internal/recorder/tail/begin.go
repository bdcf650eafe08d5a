package tail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// begin finds out where a tail without a state begins: with the line that is
// written next when the receiver has let it in. From then on the receiver knows
// of each event that the webhook brings; of what is older it may not, and would
// record it twice. An empty POST asks whether it lets in.
func (t *Tail) begin(ctx context.Context) error {
	next := t.state.clone()
	next.Sequence = 1
	if err := t.store.save(next); err != nil {
		return err
	}
	t.state = next
	const list = listBegin + listEnd
	err := t.post(ctx, body{length: int64(len(list)), held: true, open: func() (io.Reader, error) { return strings.NewReader(list), nil }})
	if err != nil {
		return err
	}
	for {
		files, err := t.folder.list()
		if err != nil {
			return permission(err)
		}
		next := t.state.clone()
		next.Begun = true
		for i := range files {
			next.Read = append(next.Read, files[i].base)
		}
		if next.Offset, next.Mark, err = t.folder.end(); err != nil {
			return err
		}
		next.To = next.Offset
		again, err := t.folder.list()
		if err != nil {
			return permission(err)
		}
		if !slices.EqualFunc(files, again, sameName) {
			continue // rotated meanwhile
		}
		if err := t.store.save(next); err != nil {
			return err
		}
		t.state = next
		t.o.Log.Info("Begins", "offset", next.Offset, "filesLeftOut", len(files))
		return nil
	}
}

func sameName(a, b rotated) bool { return a.base == b.base && a.plain == b.plain }

// end is the offset behind the last complete line of the active file, and its
// mark; zero if there is none.
func (f folder) end() (int64, mark, error) {
	l, err := openFile(f.path(f.active))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, mark{}, nil
	}
	if err != nil {
		return 0, mark{}, permission(err)
	}
	defer l.close()
	end, err := l.lastLine()
	if err != nil || end == 0 {
		return 0, mark{}, err
	}
	head, before, ok, err := l.edges(end)
	if err == nil && !ok {
		err = errTruncated
	}
	return end, newMark(head, before), err
}

// lastLine returns the offset behind the last complete line of a plain file.
func (l *logFile) lastLine() (int64, error) {
	info, err := l.f.Stat()
	if err != nil {
		return 0, err
	}
	b := make([]byte, 64<<10)
	for end := info.Size(); end > 0; {
		begin := max(0, end-int64(len(b)))
		n, err := l.f.ReadAt(b[:end-begin], begin)
		if int64(n) < end-begin {
			return 0, errors.Join(err, errTruncated)
		}
		if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}
