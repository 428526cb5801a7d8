package park_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/park"
)

// parter is a gateway's way to the store; it tells which gateway was asked.
type parter struct {
	name string

	mu    sync.Mutex
	fails error
	asked int
}

// BeginParts implements hub.Parter.
func (p *parter) BeginParts(_ context.Context, _ faas.InvocationID, w task.PartsWanted) (*task.Parts, error) {
	return &task.Parts{Upload: p.name, PartBytes: w.Size, URLs: []string{"x"}}, p.ask()
}

// CompleteParts implements hub.Parter.
func (p *parter) CompleteParts(context.Context, faas.InvocationID, task.PartsDone) error {
	return p.ask()
}

func (p *parter) ask() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.fails
}

func (p *parter) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = err
}

func (p *parter) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func holds(g *gateway, id faas.InvocationID) bool {
	_, held := g.Owner(id)
	return held
}

// TestMultipartClientAsksAnyGateway: the one that led the call is gone; the other one answers.
func TestMultipartClientAsksAnyGateway(t *testing.T) {
	g1, g2 := newGateway(t, "gw-1", "127.0.0.1:0"), newGateway(t, "gw-2", "127.0.0.1:0")
	w, id, client := newWorker(1), newID(t), park.NewMultipartClient(ref(), token)
	start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Terms: park.Terms{Drain: time.Millisecond}, Gateways: []string{g1.address, g2.address}, Multipart: client})
	read(t, g1.call(t, faas.StartWarm, id))
	testenv.Eventually(t, "both know who holds it", func() bool { return holds(g1, id) && holds(g2, id) })
	g1.stop()
	p, err := client.BeginParts(t.Context(), id, task.PartsWanted{Size: 7})
	if err != nil || p.Upload != "gw-2" || p.PartBytes != 7 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := client.CompleteParts(t.Context(), id, task.PartsDone{}); err != nil || g2.parts.count() != 2 {
		t.Fatalf("asked the second %d times: %v", g2.parts.count(), err)
	}
}

// TestMultipartClientAsksAgain: until the answer is yes, or that asking is no use, or there is no time left.
func TestMultipartClientAsksAgain(t *testing.T) {
	g := newGateway(t, "gw-1", "127.0.0.1:0")
	store := &g.parts
	store.set(faas.Errorf(faas.Unavailable, "the store is away"))
	w, id, client := newWorker(1), newID(t), park.NewMultipartClient(ref(), token)
	start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Terms: park.Terms{Drain: time.Millisecond}, Gateways: []string{g.address}, Multipart: client})
	read(t, g.call(t, faas.StartWarm, id))
	done := make(chan error, 1)
	go func() { done <- client.CompleteParts(t.Context(), id, task.PartsDone{}) }()
	testenv.Eventually(t, "it was asked twice", func() bool { return store.count() > 1 })
	store.set(nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	store.set(faas.Errorf(faas.Conflict, "never"))
	if err := client.CompleteParts(t.Context(), id, task.PartsDone{}); !errors.Is(err, park.ErrAsked) || !strings.Contains(err.Error(), "never") {
		t.Fatal(err)
	}
	asked := store.count()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := client.CompleteParts(ctx, newID(t), task.PartsDone{}); !errors.Is(err, context.DeadlineExceeded) || store.count() != asked {
		t.Fatalf("of an invocation that it does not hold: %v", err)
	}
}

// TestPartsAreForHolders: a stranger, another revision and who holds nothing get no URL.
func TestPartsAreForHolders(t *testing.T) {
	g := newGateway(t, "gw-1", "127.0.0.1:0")
	w, id := newWorker(1), newID(t)
	start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Terms: park.Terms{Drain: time.Millisecond}, Gateways: []string{g.address}})
	read(t, g.call(t, faas.StartWarm, id))
	for name, c := range map[string]struct {
		token, revision, id, body string
		want                      int
	}{
		"its runner":         {token, ref().String(), string(id), "{}", http.StatusOK},
		"no token":           {"", ref().String(), string(id), "{}", http.StatusUnauthorized},
		"another revision":   {token, "thumbnail@4", string(id), "{}", http.StatusUnauthorized},
		"no revision":        {token, "thumbnail", string(id), "{}", http.StatusBadRequest},
		"another invocation": {token, ref().String(), string(newID(t)), "{}", http.StatusNotFound},
		"no invocation":      {token, ref().String(), "x", "{}", http.StatusBadRequest},
		"no JSON":            {token, ref().String(), string(id), "{", http.StatusBadRequest},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.address+task.PathParts+c.id, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		req.Header.Set(task.HeaderRevision, c.revision)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	if g.parts.count() != 1 {
		t.Errorf("the store was asked %d times", g.parts.count())
	}
}
