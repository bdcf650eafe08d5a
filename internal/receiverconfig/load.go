package receiverconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/record"
)

// ErrIncomplete is returned by Load for a folder that is empty or was caught
// half-way through an update. It will be complete a moment later.
var ErrIncomplete = errors.New("the configuration folder is not complete yet")

// Bounds of what Load reads, in bytes and files.
const (
	MaxConfigSize = 4 << 20
	MaxTrailSize  = 512 << 10
	MaxPEMSize    = 256 << 10
	MaxFiles      = 20000
	MaxRefused    = 4096
)

// Loaded is the content of one complete folder.
type Loaded struct {
	Config Config
	// Trails are in the order of their UIDs.
	Trails []Trail
	// The PEM files, see the File constants.
	ServerCert, ServerKey, ClientCA, SigningKey []byte
}

// Load reads a configuration folder. It refuses other versions, unknown
// fields, sizes beyond the bounds and values that the manager never renders.
// Files that receiver.json does not list are ignored. The error is
// ErrIncomplete when reading again later will help.
func Load(dir string) (*Loaded, error) {
	raw, err := readFile(dir, FileConfig, MaxConfigSize)
	if err != nil {
		return nil, err
	}
	l := &Loaded{}
	if l.Config, err = ParseConfig(raw); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(l.Config.Files))
	for name := range l.Config.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := l.read(dir, name); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *Loaded) read(dir, name string) error {
	limit := int64(MaxPEMSize)
	if _, ok := TrailUID(name); ok {
		limit = MaxTrailSize
	}
	raw, err := readFile(dir, name, limit)
	if err != nil {
		return err
	}
	if record.HexSHA256(raw) != l.Config.Files[name] {
		return fmt.Errorf("%w: %s is not the one that %s lists", ErrIncomplete, name, FileConfig)
	}
	switch name {
	case FileServerCert:
		l.ServerCert = raw
	case FileServerKey:
		l.ServerKey = raw
	case FileClientCA:
		l.ClientCA = raw
	case FileSigningKey:
		l.SigningKey = raw
	default:
		t, err := ParseTrail(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if name != TrailFile(t.UID) {
			return fmt.Errorf("%s holds the trail with the UID %q", name, t.UID)
		}
		l.Trails = append(l.Trails, t)
	}
	return nil
}

// TrailUID returns the UID in the name of a trail's file.
func TrailUID(file string) (string, bool) {
	uid, ok := strings.CutPrefix(file, "trail-")
	if !ok {
		return "", false
	}
	uid, ok = strings.CutSuffix(uid, ".json")
	return uid, ok && isUID(uid)
}

// isUID: a UID becomes part of file names.
func isUID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// readFile reads a file that must not be longer than limit. The files are
// symbolic links in a Kubernetes volume, so links are followed.
func readFile(dir, name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing", ErrIncomplete, name)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return raw, nil
}

// decodeStrict decodes one JSON value without unknown fields or trailing data.
func decodeStrict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		// The decoder's own sentence may quote a value, and values are secret here.
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return fmt.Errorf("unknown field %.100s: manager and receiver must be of the same version", name)
		}
		return errors.New("not valid JSON of this format")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the end of the JSON value")
	}
	return nil
}
