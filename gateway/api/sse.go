package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"davit/gateway/edge"
)

const eventsType = "text/event-stream"

// sendEvents answers with the server-sent events that write sends. The answer ends when write returns. ctx ends when
// the caller hangs up or the server begins to shut down; done is called after write.
func sendEvents(r *edge.Request, write func(ctx context.Context, out *eventWriter) error, done func()) error {
	ctx, cancel := r.WaitingContext()
	r.Set("Content-Type", eventsType)
	r.Set("Cache-Control", "no-store")
	r.Set("X-Accel-Buffering", "no") // nginx must not buffer events
	r.Write(http.StatusOK, func(w io.Writer) error {
		err := write(ctx, &eventWriter{w: w})
		if ctx.Err() != nil {
			return nil // the end of a stream is no failure
		}
		return err
	}, func() {
		cancel()
		done()
	})
	return nil
}

// eventWriter writes server-sent events, in the format of the HTML standard.
type eventWriter struct {
	w   io.Writer
	buf bytes.Buffer
}

// event sends one event; name and id may be "". A CR in data becomes a line break, because in the format of events a CR
// ends a line.
func (e *eventWriter) event(name, id string, data []byte) error {
	e.buf.Reset()
	if name != "" {
		e.buf.WriteString("event: " + name + "\n")
	}
	if id != "" {
		e.buf.WriteString("id: " + id + "\n")
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		e.buf.WriteString("data: ")
		e.buf.Write(line)
		e.buf.WriteByte('\n')
	}
	e.buf.WriteByte('\n')
	_, err := e.w.Write(e.buf.Bytes())
	return err
}

// beat sends a comment. It keeps the connection open, and its write fails if the caller is gone.
func (e *eventWriter) beat() error {
	_, err := io.WriteString(e.w, ": alive\n\n")
	return err
}

// piece is what one Read of a followed log returned.
type piece struct {
	text []byte
	err  error
}

// sendLogEvents answers with a log as events. The id of an event is the offset after its text, so that a caller resumes
// with Last-Event-ID. The last event is named "end". It closes log.
func sendLogEvents(r *edge.Request, heartbeat time.Duration, log io.ReadCloser, from int64) error {
	return sendEvents(r, func(ctx context.Context, out *eventWriter) error {
		return followLog(ctx, out, log, from, heartbeat)
	}, func() { _ = log.Close() })
}

func followLog(ctx context.Context, out *eventWriter, log io.ReadCloser, from int64, heartbeat time.Duration) error {
	pieces := make(chan piece)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		readPieces(ctx, log, pieces)
	}()
	defer func() {
		cancel()
		_ = log.Close() // ends a read under way
		<-done
	}()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	if err := out.beat(); err != nil {
		return err
	}
	text := &logText{at: from}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := out.beat(); err != nil {
				return err
			}
		case p := <-pieces:
			if over, err := text.send(out, p); over || err != nil {
				return err
			}
		}
	}
}

func readPieces(ctx context.Context, log io.Reader, pieces chan<- piece) {
	for {
		buf := make([]byte, 8<<10)
		n, err := log.Read(buf)
		select {
		case pieces <- piece{buf[:n], err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// logText splits a log into events, never within a character.
type logText struct {
	at   int64  // the offset after the text that was sent
	held []byte // the beginning of a character that is not complete
}

// send sends the text of p up to its last complete character. over reports whether the log has ended.
func (t *logText) send(out *eventWriter, p piece) (over bool, err error) {
	t.held = append(t.held, p.text...)
	n := len(t.held)
	if p.err == nil {
		n = wholeRunes(t.held)
	}
	if n > 0 {
		t.at += int64(n)
		if err := out.event("", strconv.FormatInt(t.at, 10), t.held[:n]); err != nil {
			return false, err
		}
		t.held = append(t.held[:0], t.held[n:]...)
	}
	switch {
	case errors.Is(p.err, io.EOF):
		return true, out.event("end", strconv.FormatInt(t.at, 10), nil)
	case p.err != nil:
		return true, p.err
	}
	return false, nil
}

// wholeRunes returns the length of b without an incomplete UTF-8 sequence at its end.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if last := b[len(b)-back:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return len(b)
			}
			return len(b) - back
		}
	}
	return len(b)
}
