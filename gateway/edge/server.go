package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"davit/internal/backoff"
)

// Options are the parts and settings of a Server. All but Limits are required.
type Options struct {
	Name    string // of the listener, in logs and metrics
	Limits  Limits
	Log     *slog.Logger
	Counted func(listener, route, method string, status int) // called once for each answer
	Fault   func(r *Request, err error)                      // answers with an error of a handler, or of the server itself
}

// Server serves one listener.
type Server struct {
	*life
	limits  Limits
	counted func(listener, route, method string, status int)
	fault   func(r *Request, err error)
	http    *fasthttp.Server
	app     *fiber.App
	route   fasthttp.RequestHandler // of app; set by Serve

	mu      sync.Mutex
	ln      net.Listener
	conns   map[*conn]struct{}
	stopped bool
	serving sync.WaitGroup
}

// Serve serves the connections of ln until Shutdown, and then returns nil. It closes ln. It is called once.
func (s *Server) Serve(ln net.Listener) error {
	s.route = s.app.Handler()
	watch, err := newHangUps()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer watch.close()
	defer s.serving.Wait()
	if !s.open(ln) {
		return ln.Close()
	}
	for pause := (backoff.Backoff{Min: acceptPause, Max: acceptPauseMax}); ; {
		raw, err := ln.Accept()
		if err == nil {
			pause.Reset()
			s.accepted(raw, watch)
			continue
		}
		if s.isStopped() {
			return nil
		}
		if !isPassing(err) {
			return fmt.Errorf("accept callers on %s: %w", ln.Addr(), err)
		}
		s.log.Warn("accepting connections failed; retrying", "listener", s.name, "error", err)
		_ = pause.Wait(s.draining)
	}
}

// The pauses between two tries to accept a connection.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// isPassing reports whether a later Accept may succeed: descriptors ran out, or the caller has closed the connection.
func isPassing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINTR)
}

func (s *Server) open(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln = ln
	return !s.stopped
}

func (s *Server) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

func (s *Server) accepted(raw net.Conn, watch *hangUps) {
	c := newConn(s.base, raw, &s.limits)
	s.mu.Lock()
	full := len(s.conns) >= s.limits.Connections
	if full || s.stopped {
		s.mu.Unlock()
		s.turnAway(c, full)
		return
	}
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	s.mu.Unlock()
	go s.serve(c, watch)
}

// turnAway closes a connection that is not served. If full, it sends 503 first, because there are too many connections.
func (s *Server) turnAway(c *conn, full bool) {
	if full {
		_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
	_ = c.Close()
}

func (s *Server) serve(c *conn, watch *hangUps) {
	defer s.serving.Done()
	defer s.forget(c)
	forget := watch.watch(c.Conn, c.hangUp)
	defer forget()
	err := s.http.ServeConn(c)
	if fault, ok := errors.AsType[*fasthttp.ErrBodyStreamWritePanic](err); ok {
		s.log.Error("writing an answer panicked", "listener", s.name, "error", fault)
	} else if err != nil {
		s.log.Debug("connection ended", "listener", s.name, "error", err)
	}
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown closes the listener, ends every WaitingContext and waits for the requests in progress. When ctx ends first,
// it ends every LastingContext, closes the remaining connections and returns an error that wraps that of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.startDraining()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serving.Wait()
	}()
	select {
	case <-done:
		s.abandon()
		return nil
	case <-ctx.Done():
	}
	s.abandon()
	s.abortAll()
	select {
	case <-done:
	case <-time.After(abortMost):
		s.log.Error("requests still run although their connections were closed", "listener", s.name)
	}
	return fmt.Errorf("shut down %s: %w", s.name, ctx.Err())
}

// abortMost is how long Shutdown waits for handlers after it has ended their contexts.
const abortMost = 5 * time.Second

// stop closes the listener and drains each connection.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.ln != nil {
		_ = s.ln.Close()
	}
	for c := range s.conns {
		c.drain()
	}
}

func (s *Server) abortAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.abort()
	}
}
