package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

func (k *console) health(_ *fiber.Ctx, r *request) error { return r.sendHealth() }

// sendHealth tells that this process serves; it asks nobody else.
func (r *request) sendHealth() error {
	return r.sendJSON(fiber.StatusOK, map[string]string{"status": "ok"})
}

// readyMost is how long a dependency may take to say that it is there.
const readyMost = 2 * time.Second

// readiness asks all dependencies at once. Why one is away is for the log.
func (k *console) readiness(_ *fiber.Ctx, r *request) error {
	ctx, cancel := context.WithTimeout(r.context(), readyMost)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	states := make(map[string]string, len(k.Ready))
	status := fiber.StatusOK
	for name, dependency := range k.Ready {
		asking.Go(func() {
			err := dependency.Ready(ctx)
			mu.Lock()
			defer mu.Unlock()
			states[name] = "ok"
			if err != nil {
				states[name], status = "away", fiber.StatusServiceUnavailable
				k.Log.Warn("dependency is away", "dependency", name, "cause", err)
			}
		})
	}
	asking.Wait()
	word := "ok"
	switch {
	case k.edge.draining.Err() != nil:
		word, status = "shutting down", fiber.StatusServiceUnavailable
	case status != fiber.StatusOK:
		word = "away"
	}
	return r.sendJSON(status, map[string]any{"status": word, "dependencies": states})
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

// metrics hands the request to the handler of the metrics library.
func (k *console) metrics(_ *fiber.Ctx, r *request) error {
	req, err := http.NewRequestWithContext(r.context(), http.MethodGet, "/metrics", nil)
	if err != nil {
		return fmt.Errorf("ask for metrics: %w", err)
	}
	req.Header.Set("Accept", r.header("Accept"))
	out := &buffered{header: make(http.Header), status: http.StatusOK}
	k.Metrics.ServeHTTP(out, req)
	r.http.Response.SetStatusCode(out.status)
	r.respond().SetContentType(orDefault(out.header.Get("Content-Type"), "text/plain; charset=utf-8"))
	r.respond().Set("Cache-Control", "no-store")
	r.http.Response.SetBodyRaw(out.body.Bytes())
	return nil
}

func (k *console) limits(_ *fiber.Ctx, r *request) error {
	info := k.Info()
	return r.sendJSON(fiber.StatusOK, struct {
		Info
		CallsURL string `json:"calls_url"`
	}{info, k.callsURL(r)})
}

// events tells of changes until the caller goes. Who comes, or comes back, has
// missed some: the first event says so. One who is too slow is sent away, and
// comes back.
func (k *console) events(_ *fiber.Ctx, r *request) error {
	changes, cancel := k.Changes.Subscribe()
	return r.sendEvents(func(ctx context.Context, out *eventWriter) error {
		return followChanges(ctx, out, changes, k.edge.limits.Heartbeat)
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
