package park

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"davit/internal/task"
)

const (
	pingEvery     = 5 * time.Second
	closeWithin   = time.Second
	controlWindow = 64 << 10
	maxStreams    = 4096
	maxPeers      = 64 << 10
)

// serveControl serves a control connection to its end.
func (l *connections) serveControl(ctx context.Context, k *link, nc *parkedConn, events *feed) error {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler:           l.handlers.of(l.controlHandler(k, events)),
		Protocols:         &h2,
		MaxHeaderBytes:    maxRequestHead,
		ReadHeaderTimeout: writeWithin, // HTTP/2 sets its own deadlines
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      pingEvery,
			PingTimeout:          pingEvery,
			WriteByteTimeout:     writeWithin,
		},
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	one := &oneListener{conn: make(chan net.Conn, 1), closed: nc.closed}
	one.conn <- nc
	served := make(chan error, 1)
	go func() { served <- srv.Serve(one) }()
	select {
	case err := <-served:
		_ = nc.Close()
		return err
	case <-events.over:
	case <-ctx.Done():
	}
	events.stop() // ends the stream of events, so that the gateway closes the connection
	late := time.NewTimer(closeWithin)
	defer late.Stop()
	select {
	case <-nc.closed:
	case <-late.C:
	}
	_ = srv.Close()
	_ = nc.Close()
	<-served //nolint:errcheck // it ends because it was closed
	return errors.Join(ctx.Err(), events.err)
}

func (l *connections) controlHandler(k *link, events *feed) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+task.PathEvents, func(w http.ResponseWriter, r *http.Request) { l.serveEvents(w, r, k, events) })
	mux.HandleFunc("PUT "+task.PathPeers, l.servePeers)
	mux.HandleFunc("POST "+task.PathAcks, l.serveAcks)
	mux.HandleFunc("POST "+task.PathDrain, func(w http.ResponseWriter, _ *http.Request) {
		l.stopParking()
		l.worker.Drain("a gateway asked for it")
		w.WriteHeader(http.StatusNoContent)
	})
	one := task.PathInvocations + "{id}"
	mux.HandleFunc("GET "+one, l.of(func(w http.ResponseWriter, r *http.Request, c Call) { l.answer(w, r, c) }))
	mux.HandleFunc("GET "+one+"/log", l.of(l.serveLog))
	mux.HandleFunc("DELETE "+one, l.of(order(Call.Cancel)))
	mux.HandleFunc("POST "+one+"/keep", l.of(order(Call.Keep)))
	mux.HandleFunc("POST "+one+"/ack", l.of(order(Call.Ack)))
	return mux
}

// order returns a handler that gives a call one of a gateway's orders.
func order(do func(Call)) func(http.ResponseWriter, *http.Request, Call) {
	return func(w http.ResponseWriter, _ *http.Request, c Call) {
		do(c)
		w.WriteHeader(http.StatusNoContent)
	}
}

// servePeers reads the addresses of all gateways.
func (l *connections) servePeers(w http.ResponseWriter, r *http.Request) {
	var peers []string
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPeers)).Decode(&peers); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	if !slices.Equal(l.peers, peers) {
		l.peers = peers
		l.renamed.Set()
	}
	l.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// serveLog sends a call's log, with follow until the call ends.
func (l *connections) serveLog(w http.ResponseWriter, r *http.Request, c Call) {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || from < 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	log, err := c.Log(r.Context(), from, r.URL.Query().Get("follow") == "true")
	if err != nil {
		l.log.Warn("log not read", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	if err := l.copyResult(w, r, log); err != nil {
		panic(http.ErrAbortHandler)
	}
}
