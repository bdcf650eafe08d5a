package spool

import (
	"errors"
	"fmt"
	"strconv"
)

// Format is the version of all that is on a receiver's volume: chunks, state
// documents and what they say of files. It rises with a change that an older
// receiver would misread, or would lose when it writes a document again. A
// receiver reads every format up to its own: there is a volume of each in the
// tests of package pipeline.
const Format = 1

// formatKey is the document that holds the format of the volume.
const formatKey = "format"

// CheckFormat refuses a volume that a newer receiver has written, before
// anything of it is read or changed, and notes that this one writes to it.
// Volumes without a note are older than the notes, and of format 1.
func CheckFormat(s Spool) error {
	raw, err := s.Get(formatKey)
	if err != nil {
		return fmt.Errorf("read the format of the volume: %w", err)
	}
	if raw != nil {
		format, err := strconv.Atoi(string(raw))
		switch {
		case err != nil || format < 1:
			return errors.New("the format of the volume cannot be read; nothing was changed")
		case format > Format:
			return fmt.Errorf("the volume was written by a newer receiver, in format %d, and this one knows formats up to %d; nothing was changed: "+
				"run the newer version, or give this one a new volume", format, Format)
		case format == Format:
			return nil
		}
	}
	err = s.Commit(Expect(formatKey, raw), Set(formatKey, strconv.AppendInt(nil, Format, 10)))
	if err != nil && (raw != nil || !errors.Is(err, ErrFull)) { // a note of format 1 can wait for space
		return fmt.Errorf("note the format of the volume: %w", err)
	}
	return nil
}
