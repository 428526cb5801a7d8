package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"davit/gateway/edge"
)

func (k *console) health(r *edge.Request) error { return sendHealth(r) }

// sendHealth answers that this process serves. It checks no dependency.
func sendHealth(r *edge.Request) error {
	return sendJSON(r, http.StatusOK, map[string]string{"status": "ok"})
}

// readyMost is how long all probes together may take.
const readyMost = 2 * time.Second

// readiness probes all dependencies at the same time. It logs why a dependency is away; the answer does not contain the
// cause.
func (k *console) readiness(r *edge.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyMost)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	states := make(map[string]string, len(k.Ready))
	status := http.StatusOK
	for name, dependency := range k.Ready {
		asking.Go(func() {
			err := dependency.Ready(ctx)
			mu.Lock()
			defer mu.Unlock()
			states[name] = "ok"
			if err != nil {
				states[name], status = "away", http.StatusServiceUnavailable
				k.Log.Warn("dependency is away", "dependency", name, "error", err)
			}
		})
	}
	asking.Wait()
	word := "ok"
	switch {
	case r.Draining():
		word, status = "shutting down", http.StatusServiceUnavailable
	case status != http.StatusOK:
		word = "away"
	}
	return sendJSON(r, status, map[string]any{"status": word, "dependencies": states})
}

// buffered is an http.ResponseWriter in memory.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header         { return b.header }
func (b *buffered) WriteHeader(status int)      { b.status = status }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// metrics answers with the output of the metrics library's handler.
func (k *console) metrics(r *edge.Request) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "/metrics", nil)
	if err != nil {
		return fmt.Errorf("request metrics: %w", err)
	}
	req.Header.Set("Accept", r.Header("Accept"))
	out := &buffered{header: make(http.Header), status: http.StatusOK}
	k.Metrics.ServeHTTP(out, req)
	r.Set("Content-Type", cmp.Or(out.header.Get("Content-Type"), "text/plain; charset=utf-8"))
	r.Set("Cache-Control", "no-store")
	r.Send(out.status, out.body.Bytes())
	return nil
}

func (k *console) limits(r *edge.Request) error {
	info := k.Info()
	return sendJSON(r, http.StatusOK, struct {
		Info
		CallsURL string `json:"calls_url"`
	}{info, k.triggers.callsURL.forCaller(r)})
}

// events sends changes until the caller hangs up. The first event is a resync, because a caller that connects, or
// connects again, has missed changes. The stream of a caller that reads too slowly ends, and it connects again.
func (k *console) events(r *edge.Request) error {
	changes, cancel := k.Changes.Subscribe()
	return sendEvents(r, func(ctx context.Context, out *eventWriter) error {
		return followChanges(ctx, out, changes, k.Limits.Heartbeat)
	}, cancel)
}

func followChanges(ctx context.Context, out *eventWriter, changes <-chan Change, heartbeat time.Duration) error {
	if err := out.change(Change{Kind: "resync"}); err != nil {
		return err
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := out.beat(); err != nil {
				return err
			}
		case change, ok := <-changes:
			if !ok {
				return nil
			}
			if err := out.change(change); err != nil {
				return err
			}
		}
	}
}

func (e *eventWriter) change(c Change) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode a change: %w", err)
	}
	return e.event(c.Kind, "", data)
}
