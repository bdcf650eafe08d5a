package tail

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// TestLumberjack follows what kube-apiserver itself writes with, which compresses
// and deletes beside the tail.
func TestLumberjack(t *testing.T) {
	p, w := testPlace(t)
	log := &lumberjack.Logger{Filename: filepath.Join(p.log, "audit.log"), MaxSize: 1, MaxBackups: 50, Compress: true}
	defer func() { _ = log.Close() }()
	var want []string
	for range 12_000 {
		line := w.event(400)
		if _, err := log.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		want = append(want, line)
		if len(want)%700 != 0 {
			continue
		}
		switch len(want) / 700 % 3 {
		case 0:
			p.crash()
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		default:
			if _, _, err := p.step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for deadline := time.Now().Add(time.Minute); len(p.in.lines) < len(want); {
		p.drain(t)
		if time.Now().After(deadline) {
			break
		}
	}
	wantLines(t, p.in.lines, want)
	if n := p.lost("deleted") + p.lost("damaged") + p.lost("truncated"); n != 0 {
		t.Errorf("%d files are counted as lost", n)
	}
	zipped := 0
	for _, name := range p.t.state.Read {
		if strings.HasPrefix(name, "audit-") {
			zipped++
		}
	}
	if zipped < 4 {
		t.Errorf("%d files were rotated; the test shows nothing", zipped)
	}
}
