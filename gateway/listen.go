package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"davit/gateway/api"
)

// listeners are the gateway's four sockets.
type listeners struct {
	console, calls, runners net.Listener
	downloads               net.Listener // nil: off
	runnerPublic            string
}

// listen opens all sockets before anything else happens, so that a port in use is said at once.
func listen(ctx context.Context, cfg *Config) (*listeners, error) {
	n := &listeners{runnerPublic: cfg.RunnerPublic}
	for _, l := range []struct {
		into          *net.Listener
		addr, setting string
	}{
		{&n.console, cfg.ConsoleAddr, "DAVIT_CONSOLE_ADDR"},
		{&n.calls, cfg.CallsAddr, "DAVIT_CALLS_ADDR"},
		{&n.runners, cfg.RunnerAddr, "DAVIT_RUNNER_ADDR"},
		{&n.downloads, cfg.DownloadAddr, "DAVIT_DOWNLOAD_ADDR"},
	} {
		if l.addr == "off" {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.addr)
		if err != nil {
			n.close()
			return nil, fmt.Errorf("%w (set %s to listen elsewhere)", err, l.setting)
		}
		*l.into = ln
	}
	return n, nil
}

func (n *listeners) close() {
	for _, l := range []net.Listener{n.console, n.calls, n.runners, n.downloads} {
		if l != nil {
			_ = l.Close() // closed already where it was served
		}
	}
}

// runnerAddr is where runners reach this gateway.
func (n *listeners) runnerAddr() string {
	if n.runnerPublic != "" {
		return n.runnerPublic
	}
	return n.runners.Addr().String()
}

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
