package intake

import (
	"io"
	"net/http"
	"time"

	"github.com/trail-operator/trail-operator/internal/forward"
)

const (
	// progressBytes must arrive within the progress timeout.
	progressBytes = 64 << 10
	// maxBodyTime is the most that a body may take. kube-apiserver has given up
	// long before.
	maxBodyTime = 2 * time.Minute
	// maxDrain is how much of a body is read only so that the client takes
	// notice of the answer.
	maxDrain = 32 << 20
)

// progressReader reads a body as long as it makes progress.
type progressReader struct {
	body    io.Reader
	control *http.ResponseController
	timeout time.Duration
	copy    *forward.Body // takes what is read

	began time.Time
	got   int // since the deadline was set
	total int64
}

func (p *progressReader) Read(b []byte) (int, error) {
	if p.began.IsZero() || p.got >= progressBytes {
		now := time.Now()
		if p.began.IsZero() {
			p.began = now
		}
		deadline := now.Add(p.timeout)
		if end := p.began.Add(maxBodyTime); deadline.After(end) {
			deadline = end
		}
		if err := p.control.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
		p.got = 0
	}
	n, err := p.body.Read(b)
	p.got += n
	p.total += int64(n)
	p.copy.Write(b[:n])
	return n, err
}

// drain reads what is left of a body.
func (p *progressReader) drain() {
	p.copy.Abort()
	// Whether that works makes no difference to the answer.
	_, _ = io.CopyN(io.Discard, p, maxDrain)
}
