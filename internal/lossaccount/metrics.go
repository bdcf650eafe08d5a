package lossaccount

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

const (
	// maxMetrics bounds an answer, in bytes: those of large clusters have tens of
	// megabytes.
	maxMetrics = 256 << 20
	// maxLine is the longest line that is looked at. Ours are short.
	maxLine = 4 << 10
	// maxCount is the largest count that a float64 holds exactly.
	maxCount = 1 << 53
)

// Names in the metrics of kube-apiserver.
var (
	metricEvents  = []byte("apiserver_audit_event_total")
	metricErrors  = []byte(`apiserver_audit_error_total{plugin="`)
	metricStarted = []byte("process_start_time_seconds")
)

// ParseMetrics reads from the metrics of kube-apiserver, in the text format of
// Prometheus, what an account needs. It holds one line at a time. Address and Age
// of the sample are the caller's to add.
func ParseMetrics(r io.Reader) (Sample, error) { return parseMetrics(r, maxMetrics) }

func parseMetrics(r io.Reader, most int64) (Sample, error) {
	var s Sample
	limited := &io.LimitedReader{R: r, N: most}
	lines := bufio.NewReaderSize(limited, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
			line = nil
		}
		if perr := s.line(line); perr != nil {
			return Sample{}, perr
		}
		switch {
		case errors.Is(err, io.EOF) && limited.N <= 0:
			return Sample{}, errors.New("the metrics are too long")
		case errors.Is(err, io.EOF) && s.Started.IsZero():
			return Sample{}, errors.New("the metrics do not say when the process was started")
		case errors.Is(err, io.EOF):
			return s, nil
		case err != nil:
			return Sample{}, fmt.Errorf("reading metrics: %w", err)
		}
	}
}

// line takes one line of metrics.
func (s *Sample) line(line []byte) error {
	var into *int64
	rest, ok := bytes.CutPrefix(line, metricErrors)
	switch {
	case ok:
		plugin, after, found := bytes.Cut(rest, []byte(`"}`))
		if !found {
			return nil
		}
		switch string(plugin) {
		case "buffered":
			into = &s.Errors.Buffered
		case "webhook":
			into = &s.Errors.Webhook
		case "truncate":
			into = &s.Errors.Truncate
		case "log":
			into = &s.Errors.Log
		default:
			return nil
		}
		rest = after
	case bytes.HasPrefix(line, metricEvents):
		into, rest = &s.Events, line[len(metricEvents):]
	case bytes.HasPrefix(line, metricStarted):
		rest = line[len(metricStarted):]
	default:
		return nil
	}
	if len(rest) == 0 || rest[0] != ' ' {
		return nil // a longer name, or labels
	}
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return nil
	}
	v, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > maxCount {
		return errors.New("the metrics hold a number that is no count")
	}
	if into != nil {
		*into = int64(v)
		return nil
	}
	if v < 1 || v > math.MaxUint32 {
		return errors.New("the metrics say that the process was started at an impossible time")
	}
	s.Started = time.Unix(0, int64(v*1e9)).UTC()
	return nil
}
