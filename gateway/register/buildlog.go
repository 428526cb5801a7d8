package register

import (
	"context"
	"fmt"
	"io"
	"sync"

	"davit/internal/signal"
)

const (
	maxBuildLog = 1 << 20
	cutMark     = "\n… the rest of the log is left out\n"
)

// buildLog is the log of a build on this gateway. Writes never fail; bytes beyond maxBuildLog are dropped.
type buildLog struct {
	mu      sync.Mutex
	text    []byte
	cut     bool             // bytes were dropped
	ended   bool             // nothing more is written
	changed signal.Broadcast // there is more text, or the log has ended
}

// Write appends b.
func (l *buildLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut || l.ended {
		return len(b), nil
	}
	if left := maxBuildLog - len(l.text); len(b) > left {
		l.cut = true
		l.text = append(append(l.text, b[:left]...), cutMark...)
	} else {
		l.text = append(l.text, b...)
	}
	l.changed.Send()
	return len(b), nil
}

func (l *buildLog) printf(format string, args ...any) { _, _ = fmt.Fprintf(l, format, args...) }

func (l *buildLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.changed.Send()
}

// from returns the text from an offset on and whether the log has ended. more is closed by the next change.
func (l *buildLog) from(at int) (text []byte, ended bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text[min(at, len(l.text)):], l.ended, l.changed.C()
}

func (l *buildLog) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

// logReader reads the log of a build on this gateway.
type logReader struct {
	ctx    context.Context //nolint:containedctx // of the request that reads
	log    *buildLog
	at     int
	follow bool // read on until the build ends
}

func (r *logReader) Read(b []byte) (int, error) {
	for {
		text, ended, more := r.log.from(r.at)
		if len(text) > 0 {
			n := copy(b, text)
			r.at += n
			return n, nil
		}
		if ended || !r.follow {
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

func (r *logReader) Close() error { return nil }
