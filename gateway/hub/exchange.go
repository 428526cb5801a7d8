package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"davit/internal/sock"
	"davit/internal/task"
)

const (
	lineEnd   = "\r\n"
	bodyEnd   = "0\r\n\r\n"
	chunkHead = 8 // room for streamBuffer in hex and a line end
)

var errCutShort = errors.New("the runner closed the connection for input, perhaps because it has answered")

// exchange is one call on a slot's connection. It is an HTTP/1.1 client of its own because http.Transport does not
// report whether the end of a body was sent. While a stream is sent, a second goroutine waits for an early answer.
type exchange struct {
	slot      *Slot
	conn      *conn
	body      Body
	assumed   bool          // the hub assumes that the runner owns the invocation
	committed bool          // the runner may have the end of the body
	answered  chan struct{} // closed when the listener has ended; nil: there is no listener
}

// offer sends the request's head, the task and a small body in one write, and waits until the runner takes the call.
func (x *exchange) offer(ctx context.Context, t *task.Task) error {
	encoded, err := task.EncodeTask(t)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	c := x.conn
	head := append(c.head[:0], "POST "+task.PathInvocations...)
	head = append(head, x.slot.invocation...)
	head = append(head, " HTTP/1.1\r\nHost: runner\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"...)
	if n := x.body.size(); n >= 0 {
		head = strconv.AppendInt(append(head, task.HeaderInputSize+": "...), n, 10)
		head = append(head, lineEnd...)
	}
	head = append(head, lineEnd...)
	first := x.body.Small
	if x.body.Stream != nil {
		first = nil
	}
	head = strconv.AppendInt(head, int64(len(encoded)+len(first)), 16)
	c.head = append(head, lineEnd...)
	bufs := net.Buffers{c.head, encoded, first, []byte(lineEnd)}

	if _, err = bufs.WriteTo(c.net); err == nil {
		err = c.taken()
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrNotRun, ctx.Err())
	case err != nil:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	c.advance(taken)
	return nil
}

// stream sends the body's stream. errCutShort: an early answer or an interruption stopped it.
func (x *exchange) stream() error {
	x.listen()
	if err := sock.UserTimeout(x.conn.net, sock.SlowAfter); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	pooled, _ := x.slot.roster.buffers.Get().(*[]byte)
	defer x.slot.roster.buffers.Put(pooled)
	if err := x.pump(*pooled); err != nil {
		return err
	}
	if err := sock.UserTimeout(x.conn.net, sock.DeadAfter); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	return nil
}

func (x *exchange) pump(buf []byte) error {
	for sent := int64(0); ; {
		n, err := x.body.Stream.Read(buf[chunkHead : len(buf)-len(lineEnd)])
		select {
		case <-x.answered:
			return errCutShort
		default:
		}
		sent += int64(n)
		switch size := x.body.Size; {
		case size >= 0 && sent > size:
			return &BodyError{fmt.Errorf("it has more than %d bytes, the size it was announced with", size)}
		case err == io.EOF && size > sent:
			return &BodyError{io.ErrUnexpectedEOF}
		case err != nil && err != io.EOF:
			return &BodyError{err}
		}
		if n > 0 && x.sendChunk(buf, n) != nil {
			return errCutShort
		}
		if err == io.EOF {
			return nil
		}
	}
}

// sendChunk sends the n bytes at buf[chunkHead:] as one chunk, in one write.
func (x *exchange) sendChunk(buf []byte, n int) error {
	var digits [chunkHead]byte
	head := append(strconv.AppendInt(digits[:0], int64(n), 16), lineEnd...)
	start := chunkHead - len(head)
	copy(buf[start:], head)
	end := chunkHead + n + copy(buf[chunkHead+n:], lineEnd)
	_, err := x.conn.net.Write(buf[start:end])
	return err
}

// listen starts the listener: when the first byte of an answer arrives or the connection breaks, the listener
// interrupts the write that is under way.
func (x *exchange) listen() {
	x.answered = make(chan struct{})
	go func() {
		defer close(x.answered)
		x.conn.limit.left = maxHead
		_, _ = x.conn.br.Peek(1) // the next read returns its error again
		_ = x.conn.net.SetWriteDeadline(time.Unix(1, 0))
	}()
}

// waitForListener waits until the listener has ended: at an answer, or when the connection breaks or reaches its
// deadline.
func (x *exchange) waitForListener() {
	if x.answered != nil {
		<-x.answered
	}
}

// commit sends the end of the body. If it fails, the runner does not have the end.
func (x *exchange) commit() error {
	x.assumed = true
	x.conn.advance(sent)
	x.slot.roster.assumeOwner(x.conn.runner, x.slot.invocation)
	n, err := io.WriteString(x.conn.net, bodyEnd)
	x.committed = err == nil || n >= len(bodyEnd)
	if x.committed {
		return nil
	}
	return err
}
