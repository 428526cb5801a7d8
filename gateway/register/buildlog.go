package register

import (
	"context"
	"fmt"
	"io"
	"sync"
)

const (
	maxBuildLog = 1 << 20
	cutMark     = "\n… the rest of the log is left out\n"
)

// buildLog is the log of a build that runs here. It never fails and never grows beyond its bound.
type buildLog struct {
	mu      sync.Mutex
	text    []byte
	cut     bool
	over    bool
	changed chan struct{} // closed and replaced when there is more, or the end
}

func newBuildLog() *buildLog { return &buildLog{changed: make(chan struct{})} }

// Write keeps what fits.
func (l *buildLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut || l.over {
		return len(b), nil
	}
	if room := maxBuildLog - len(l.text); len(b) > room {
		l.cut = true
		l.text = append(append(l.text, b[:room]...), cutMark...)
	} else {
		l.text = append(l.text, b...)
	}
	l.tell()
	return len(b), nil
}

func (l *buildLog) printf(format string, args ...any) { _, _ = fmt.Fprintf(l, format, args...) }

// end says that nothing more comes.
func (l *buildLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.tell()
}

func (l *buildLog) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// from returns what there is from an offset on, whether that is all, and what closes when there is more.
func (l *buildLog) from(at int) (text []byte, over bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text[min(at, len(l.text)):], l.over, l.changed
}

func (l *buildLog) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

// logReader reads a log that is written here.
type logReader struct {
	ctx    context.Context //nolint:containedctx // of the one request that reads
	log    *buildLog
	at     int
	follow bool
}

func (r *logReader) Read(b []byte) (int, error) {
	for {
		text, over, more := r.log.from(r.at)
		if len(text) > 0 {
			n := copy(b, text)
			r.at += n
			return n, nil
		}
		if over || !r.follow {
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
