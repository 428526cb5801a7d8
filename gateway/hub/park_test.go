package hub_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// dialIn sends one request to a gateway's listener and returns the answer and the connection.
func dialIn(t *testing.T, g *gateway, head, body string) (*http.Response, net.Conn) {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(nc, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, nc
}

// parkHead is the head of a good request to be parked, but for its length.
func parkHead(kind task.LinkKind) string {
	return "POST /park HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: davit/1\r\n" +
		"Authorization: Bearer " + token + "\r\nDavit-Revision: " + ref.String() + "\r\nDavit-Link: " + string(kind) + "\r\n"
}

func parkBody(t testing.TB, change func(*task.Hello)) string {
	t.Helper()
	h := hello("r1", faas.StartWarm, 2)
	if change != nil {
		change(&h)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRefusals(t *testing.T) {
	g := newGateway(t, "g1")
	slot, control := parkHead(task.LinkSlot), parkHead(task.LinkControl)
	good := parkBody(t, nil)
	without := func(line string) string {
		i := strings.Index(slot, line)
		j := i + strings.Index(slot[i:], "\r\n") + 2
		return slot[:i] + slot[j:]
	}
	body := func(change func(*task.Hello)) string { return parkBody(t, change) }
	id := newID(t)
	for _, tt := range []struct {
		name, head, body string
		status           int
	}{
		{"GET", strings.Replace(slot, "POST", "GET", 1), good, http.StatusMethodNotAllowed},
		{"another path", strings.Replace(slot, "/park", "/", 1), good, http.StatusNotFound},
		{"no upgrade", without("Upgrade:"), good, http.StatusBadRequest},
		{"another protocol", strings.Replace(slot, "davit/1", "h2c", 1), good, http.StatusBadRequest},
		{"no token", without("Authorization"), good, http.StatusUnauthorized},
		{"a wrong token", strings.Replace(slot, token, "guess", 1), good, http.StatusUnauthorized},
		{"another function's token", strings.Replace(slot, "thumbnail@3", "other@3", 1), good, http.StatusUnauthorized},
		{"no revision", without("Davit-Revision"), good, http.StatusBadRequest},
		{"an odd revision", strings.Replace(slot, "@3", "@+3", 1), good, http.StatusBadRequest},
		{"no number", strings.Replace(slot, "@3", "", 1), good, http.StatusBadRequest},
		{"an odd name", strings.Replace(slot, "thumbnail@3", "Thumb/nail@3", 1), good, http.StatusBadRequest},
		{"another revision", strings.Replace(slot, "@3", "@4", 1), good, http.StatusForbidden},
		{"no kind", without("Davit-Link"), good, http.StatusBadRequest},
		{"no JSON", slot, "{", http.StatusBadRequest},
		{"nothing", slot, "", http.StatusBadRequest},
		{"a long hello of a slot", slot, body(func(h *task.Hello) { h.Version = strings.Repeat("x", 20<<10) }), http.StatusBadRequest},
		{"no runner", slot, body(func(h *task.Hello) { h.Runner = "" }), http.StatusBadRequest},
		{"an odd runner", slot, body(func(h *task.Hello) { h.Runner = "r\n1" }), http.StatusBadRequest},
		{"no slots", slot, body(func(h *task.Hello) { h.Slots = 0 }), http.StatusBadRequest},
		{"too many slots", slot, body(func(h *task.Hello) { h.Slots = 1 << 20 }), http.StatusBadRequest},
		{"more free than slots", control, body(func(h *task.Hello) { h.Free = 3 }), http.StatusBadRequest},
		{"an unknown start", slot, body(func(h *task.Hello) { h.Start = "cold" }), http.StatusBadRequest},
		{"a job without its invocation", slot, body(func(h *task.Hello) { h.Start, h.Slots = faas.StartJob, 1 }), http.StatusBadRequest},
		{"a warm one with an invocation", slot, body(func(h *task.Hello) { h.Invocation = id }), http.StatusBadRequest},
		{"a standby with two slots", slot, body(func(h *task.Hello) { h.Start = faas.StartStandby }), http.StatusBadRequest},
		{"a slot that holds", slot, body(func(h *task.Hello) { h.Owned = []task.Owned{{}} }), http.StatusBadRequest},
		{"holding what is no invocation", control, body(func(h *task.Hello) { h.Owned = []task.Owned{{}} }), http.StatusForbidden},
		{"holding another's", control, body(func(h *task.Hello) {
			h.Owned = []task.Owned{{Record: faas.Invocation{ID: id, Function: "other", Revision: 3}}}
		}), http.StatusForbidden},
		{"connected already", control + "Davit-Linked: g0,g1\r\n", good, http.StatusConflict},
		{"a slot does not care", slot + "Davit-Linked: g0,g1\r\n", good, http.StatusSwitchingProtocols},
		{"a good one", control, good, http.StatusSwitchingProtocols},
		{"its id, but other slots", slot, body(func(h *task.Hello) { h.Slots = 3 }), http.StatusForbidden},
		{"its id, but another start", slot, body(func(h *task.Hello) { h.Start, h.Slots = faas.StartStandby, 1 }), http.StatusForbidden},
	} {
		resp, _ := dialIn(t, g, tt.head, tt.body)
		if resp.StatusCode != tt.status {
			detail, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
			t.Errorf("%s: %d %s, want %d", tt.name, resp.StatusCode, detail, tt.status)
		}
		if tt.status == http.StatusSwitchingProtocols && resp.Header.Get(task.HeaderGateway) != "g1" {
			t.Errorf("%s: the gateway does not say who it is", tt.name)
		}
	}
}

// What a stranger sends is not even read. TestClosedHubRefuses: a runner that dials in when the hub has ended is told
// to try again later, every time.
func TestClosedHubRefuses(t *testing.T) {
	g := newGateway(t, "g1")
	g.stop()
	for range 30 {
		answer := httptest.NewRecorder()
		g.Handler().ServeHTTP(answer, parkRequest(t))
		if answer.Code != http.StatusServiceUnavailable {
			t.Fatalf("answered %d %q", answer.Code, answer.Body)
		}
	}
}

// parkRequest is a good request to be parked.
func parkRequest(t *testing.T) *http.Request {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/park", strings.NewReader(parkBody(t, nil)))
	for line := range strings.Lines(parkHead(task.LinkSlot)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			req.Header.Set(name, value)
		}
	}
	return req
}

// TestRunnersWaitForRun: a runner that dials in before Run has begun is let in once Run has begun, and the observer of
// Run is told of it.
func TestRunnersWaitForRun(t *testing.T) {
	g := stillGateway("g1", nil)
	entered := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		close(entered)
		g.Handler().ServeHTTP(w, req)
	}))
	defer srv.Close()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	body := parkBody(t, nil)
	_, _ = fmt.Fprintf(nc, "%sContent-Length: %d\r\n\r\n%s", parkHead(task.LinkControl), len(body), body)
	<-entered
	if len(g.Runners()) != 0 || g.TryClaim(warm(newID(t))) != nil {
		t.Error("the runner was let in before Run began")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, g) }()
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %+v, %v", resp, err)
	}
	g.until(t, "the runner joins", func() bool { return len(g.joined["r1"]) == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRunnersDoNotWaitForeverForRun: if Run does not begin, a runner is told to try again later.
func TestRunnersDoNotWaitForeverForRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, answer, began := stillGateway("g1", nil), httptest.NewRecorder(), time.Now()
		g.Handler().ServeHTTP(answer, parkRequest(t))
		if waited := time.Since(began); answer.Code != http.StatusServiceUnavailable || waited != 10*time.Second {
			t.Errorf("answered %d %q after %v", answer.Code, answer.Body, waited)
		}
	})
}

func TestStrangersAreNotHeard(t *testing.T) {
	g := newGateway(t, "g1")
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	head := strings.Replace(parkHead(task.LinkControl), token, "guess", 1)
	_, _ = fmt.Fprintf(nc, "%sContent-Length: %d\r\n\r\n", head, 8<<20)
	_ = nc.SetDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("answer %+v, %v", resp, err)
	}
}

// A job has one runner: a second one that is started for it is turned away.
func TestSecondRunnerOfJob(t *testing.T) {
	g := newGateway(t, "g1")
	id := newID(t)
	first := parkBody(t, func(h *task.Hello) { *h = job("r1", id) })
	second := parkBody(t, func(h *task.Hello) { *h = job("r2", id) })
	if resp, _ := dialIn(t, g, parkHead(task.LinkSlot), first); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the first: %d", resp.StatusCode)
	}
	if resp, _ := dialIn(t, g, parkHead(task.LinkSlot), second); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the second, while the first is not quite there: %d", resp.StatusCode)
	}
	if resp, _ := dialIn(t, g, parkHead(task.LinkControl), first); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the first's control: %d", resp.StatusCode)
	}
	g.until(t, "the first joins", func() bool { return len(g.joined["r1"]) == 1 })
	if resp, _ := dialIn(t, g, parkHead(task.LinkSlot), second); resp.StatusCode != http.StatusForbidden {
		t.Errorf("the second: %d", resp.StatusCode)
	}
}

// A runner parks no more connections than it has slots.
func TestNoMoreThanItsSlots(t *testing.T) {
	g := newGateway(t, "g1")
	body := parkBody(t, func(h *task.Hello) { h.Free = 2 })
	dialIn(t, g, parkHead(task.LinkControl), body)
	g.until(t, "the runner joins", func() bool { return len(g.joined["r1"]) == 1 })
	var conns []net.Conn
	for i := range 5 {
		_, nc := dialIn(t, g, parkHead(task.LinkSlot), body)
		conns = append(conns, nc)
		if i < 2 {
			testenv.Eventually(t, "it is parked", func() bool { return g.Slots(ref)[faas.StartWarm].Free == i+1 })
			continue
		}
		if _, err := conns[i-2].Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // the oldest is let go
			t.Errorf("the gateway keeps a connection too many: %v", err)
		}
	}
	if n := g.Slots(ref)[faas.StartWarm].Free; n != 2 {
		t.Errorf("%d slots are free", n)
	}
	a, b := g.TryClaim(warm(newID(t))), g.TryClaim(warm(newID(t)))
	if a == nil || b == nil {
		t.Fatal("no slot")
	}
	_, nc := dialIn(t, g, parkHead(task.LinkSlot), body)
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the gateway keeps a connection too many: %v", err)
	}
	a.Release()
	b.Release()
}

// A runner that speaks out of turn is not kept.
func TestSpeaksTooEarly(t *testing.T) {
	g := newGateway(t, "g1")
	body := parkBody(t, nil)
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, _ = fmt.Fprintf(nc, "%sContent-Length: %d\r\n\r\n%sHTTP/1.1 100 Continue\r\n\r\n", parkHead(task.LinkSlot), len(body), body)
	_ = nc.SetDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(nc); len(b) > 0 && err == nil && strings.Contains(string(b), "101") {
		t.Errorf("let in: %q", b)
	}
}
