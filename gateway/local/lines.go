package local

import (
	"bytes"
	"log/slog"
	"sync"
	"unicode/utf8"

	"davit/internal/text"
)

const (
	maxLine = 4 << 10 // a longer one is cut into several, between two characters
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
			w.partial = append(w.partial, rest[:room]...)
			rest = rest[room:]
			w.emit(len(w.partial) - begunBytes(w.partial))
			continue
		}
		w.partial = append(w.partial, line...)
		rest = after
		if whole {
			w.emit(len(w.partial))
		}
	}
	return len(b), nil
}

// flush logs the last line if it has no line end.
func (w *lines) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emit(len(w.partial))
}

// begunBytes returns how many bytes at the end of b begin a character that needs more bytes.
func begunBytes(b []byte) int {
	for n := 1; n < min(utf8.UTFMax, len(b)+1); n++ {
		if begun := b[len(b)-n:]; utf8.RuneStart(begun[0]) {
			if utf8.FullRune(begun) {
				return 0
			}
			return n
		}
	}
	return 0
}

// emit logs the first n bytes of w.partial as a line, and keeps the rest.
func (w *lines) emit(n int) {
	line := string(bytes.ToValidUTF8(bytes.TrimSpace(w.partial[:n]), []byte("\uFFFD")))
	w.partial = append(w.partial[:0], w.partial[n:]...)
	if line == "" {
		return
	}
	w.log.Debug("output of a runner", "line", line)
	w.tail = line
}

// last returns the last line that is not empty, clipped to maxTail bytes; "" if w is nil.
func (w *lines) last() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return text.Clip(w.tail, maxTail)
}
