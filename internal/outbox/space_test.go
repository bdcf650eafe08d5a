package outbox_test

import (
	"path/filepath"
	"testing"

	"github.com/trail-operator/trail-operator/internal/outbox"
)

func TestSpace(t *testing.T) {
	if free, size, err := (outbox.OS{}).Space(t.TempDir()); err != nil || free <= 0 || size < free {
		t.Errorf("%d of %d bytes are free: %v", free, size, err)
	}
	if _, _, err := (outbox.OS{}).Space(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that does not exist has space")
	}
}
