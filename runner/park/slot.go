package park

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// slotServer returns the server of the slots' connections: HTTP/1.1, one call at a time on each.
func (l *connections) slotServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+task.PathInvocations+"{id}", l.serveCall)
	return &http.Server{
		Handler:           l.handlers.of(mux),
		MaxHeaderBytes:    maxRequestHead,
		ReadHeaderTimeout: 0, // a parked connection waits for its call without a deadline
		ConnState:         l.slotState,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:          slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
}

// serveSlots serves the connections that serveSlot queues.
func (l *connections) serveSlots() {
	_ = l.slots.Serve(&parkedListener{conns: l}) // ends when it is closed
}

// serveSlot queues a connection for serving, waits for its end, and reports whether a call was sent on it.
func (l *connections) serveSlot(nc *parkedConn) bool {
	stop := context.AfterFunc(l.life, func() { _ = nc.Close() })
	defer stop()
	select {
	case l.queue <- nc:
	case <-l.life.Done():
		_ = nc.Close()
		return false
	}
	<-nc.closed
	return nc.used.Load()
}

// slotState keeps l.served: the open connections on which an answer was sent.
func (l *connections) slotState(c net.Conn, s http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s {
	case http.StateIdle:
		l.served[c] = time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(l.served, c)
	case http.StateNew, http.StateActive:
		return
	}
	l.wake()
}

// serveCall answers POST /invocations/{id}.
func (l *connections) serveCall(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*parkedConn); ok {
		c.used.Store(true)
	}
	id, err := faas.ParseInvocationID(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusBadRequest)
		return
	}
	call, err := l.worker.Take(id)
	if err != nil {
		refuse(w, http.StatusConflict)
		return
	}
	// An input may be refused after its first bytes: the answer must not wait for the rest.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		l.log.Error("no full duplex; the answer waits for the end of its request", "error", err)
	}
	err = l.accept(id, call, r)
	switch {
	case errors.Is(err, ErrTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge)
	case err != nil:
		l.log.Info("call not accepted", "invocation", id, "error", err)
		refuse(w, http.StatusServiceUnavailable)
	default:
		l.answer(w, r, call)
	}
}

// refuse answers without a body and closes the connection.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}

// accept lets the call read its body. Until it returns, the call is in l.accepting and so in the hellos.
func (l *connections) accept(id faas.InvocationID, call Call, r *http.Request) error {
	l.mu.Lock()
	l.accepting[id] = true
	l.mu.Unlock()
	err := call.Accept(l.life, r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accepting, id)
	if err == nil && l.opts.Hello.Start != faas.StartWarm {
		l.draining = true
		l.announce()
	}
	return err
}
