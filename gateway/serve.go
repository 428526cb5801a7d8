package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"davit/gateway/api"
	"davit/internal/faas"
	"davit/internal/task"
)

// stopListening is how long a listener that stops waits for requests under way.
const stopListening = 5 * time.Second

// serveHTTP serves net/http handlers until its context ends. A nil listener is one that is switched off.
func serveHTTP(ln net.Listener, h http.Handler, write time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if ln == nil {
			<-ctx.Done()
			return nil
		}
		s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, WriteTimeout: write, MaxHeaderBytes: 64 << 10}
		return serveUntil(ctx, func() error { return s.Serve(ln) }, func(grace context.Context) error {
			if err := s.Shutdown(grace); err != nil {
				return s.Close()
			}
			return nil
		})
	}
}

// serveEdge serves one of the API's servers until its context ends.
func serveEdge(s *api.Server, ln net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		return serveUntil(ctx, func() error { return s.Serve(ln) }, s.Shutdown)
	}
}

func serveUntil(ctx context.Context, serve func() error, shutdown func(context.Context) error) error {
	served := make(chan error, 1)
	go func() { served <- serve() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopListening)
	defer cancel()
	err := shutdown(grace)
	if serving := <-served; serving != nil && !errors.Is(serving, http.ErrServerClosed) && !errors.Is(serving, net.ErrClosed) {
		return serving
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the rest was cut off
	}
	return err
}

// runnerHandler is what runners reach: the hub, and the folder store's signed URLs.
func (g *gateway) runnerHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", g.hub.Handler())
	if g.objects.runners != nil {
		mux.Handle(task.PathStore, http.StripPrefix(strings.TrimSuffix(task.PathStore, "/"), g.objects.runners))
	}
	return mux
}

// runnerTokens makes and checks the token that belongs to one revision's runners.
type runnerTokens struct{ secret []byte }

func (t runnerTokens) of(ref faas.RevisionRef) string {
	mac := hmac.New(sha256.New, t.secret)
	_, _ = mac.Write([]byte("runner:" + ref.String()))
	return hex.EncodeToString(mac.Sum(nil))
}

func (t runnerTokens) verify(ref faas.RevisionRef, token string) bool {
	return hmac.Equal([]byte(t.of(ref)), []byte(token))
}
