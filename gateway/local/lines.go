package local

import (
	"bytes"
	"log/slog"
	"sync"
)

const (
	maxLine = 4 << 10 // a longer one is cut into several
	maxTail = 512     // of the last line, in an exit's detail
)

// lines is a writer that logs each line written to it and keeps the last line.
type lines struct {
	log *slog.Logger

	mu      sync.Mutex
	partial []byte
	tail    string
}

func newLines(log *slog.Logger) *lines { return &lines{log: log} }

// Write never fails.
func (w *lines) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := b; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		room := maxLine - len(w.partial)
		if len(line) > room {
			line, after, whole = rest[:room], rest[room:], true
		}
		w.partial = append(w.partial, line...)
		rest = after
		if whole {
			w.emit()
		}
	}
	return len(b), nil
}

// flush logs the last line if it has no line end.
func (w *lines) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emit()
}

func (w *lines) emit() {
	line := string(bytes.ToValidUTF8(bytes.TrimSpace(w.partial), []byte("\uFFFD")))
	w.partial = w.partial[:0]
	if line == "" {
		return
	}
	w.log.Debug("output of a runner", "line", line)
	w.tail = line
}

// last returns the last line that is not empty, cut to maxTail bytes; "" if w is nil.
func (w *lines) last() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tail) > maxTail {
		return w.tail[:maxTail] + "…"
	}
	return w.tail
}
