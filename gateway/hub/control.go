package hub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const (
	pingEvery     = 5 * time.Second
	answerWithin  = 10 * time.Second // for what a runner can answer at once
	maxEvent      = 8 << 20
	maxHead       = 64 << 10
	streamWindow  = 512 << 10
	runnerAddress = "runner:80" // goes nowhere: the connection is there already
)

// control is the gateway's end of a runner's control connection.
type control struct {
	net  net.Conn
	http *http.ClientConn
	done chan struct{} // closed when the connection is over and everybody has been told

	told    int  // edition of the peers that it was told; guarded by Hub.mu
	telling bool // guarded by Hub.mu
}

// newControl begins HTTP/2 on a connection whose other end is the server.
func newControl(ctx context.Context, nc net.Conn) (*control, error) {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	t := &http.Transport{
		Protocols:              &h2,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHead,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return nc, nil },
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           pingEvery,
			PingTimeout:               pingEvery,
			WriteByteTimeout:          answerWithin,
			MaxReceiveBufferPerStream: streamWindow,
		},
	}
	cc, err := t.NewClientConn(ctx, "http", runnerAddress)
	if err != nil {
		return nil, fmt.Errorf("begin HTTP/2: %w", err)
	}
	return &control{net: nc, http: cc, done: make(chan struct{})}, nil
}

// cut ends the connection and everything on it.
func (c *control) cut() {
	_ = c.http.Close()
	_ = c.net.Close()
}

// send makes one request. The caller closes the answer's body.
func (c *control) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+runnerAddress+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.http.RoundTrip(req)
}

// order makes one request that is answered at once and without a body.
func (c *control) order(ctx context.Context, method, path string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return errors.Join(ErrAway, err)
	}
	_ = resp.Body.Close()
	return statusError(resp)
}

// statusError translates what a runner answers to anything about an invocation.
func statusError(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return ErrGone
	case resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("the runner answered %d", resp.StatusCode)
	}
	return nil
}

// serveControl is the life of a control connection, from hello to Left.
func (h *Hub) serveControl(r *runner, c, before *control, hello *task.Hello) {
	defer h.release(r, c)
	defer close(c.done)
	defer c.cut()
	if before != nil {
		before.cut()
		<-before.done
	}
	h.arrive(r, c, hello)
	h.observe.Joined(*hello)
	h.log.Info("runner joined", "runner", hello.Runner, "revision", hello.Ref().String(), "start", hello.Start, "held", len(hello.Held))
	h.tellFirst(c)

	err := h.follow(r, c)

	held := h.depart(r)
	if h.life.Err() != nil {
		return
	}
	h.log.Info("runner left", "runner", hello.Runner, "held", len(held), "cause", err)
	h.observe.Left(r.hello, held)
}

// follow reads the runner's events until the connection ends.
func (h *Hub) follow(r *runner, c *control) error {
	resp, err := c.events(h.life)
	if err != nil {
		return fmt.Errorf("ask for events: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := readLine(lines, maxEvent)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		e, err := parseEvent(line, r.hello.Ref())
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		h.happened(r, e)
		h.observe.Happened(r.hello.Runner, *e)
	}
}

// events asks for the stream of events; its head must come at once.
func (c *control) events(ctx context.Context) (*http.Response, error) {
	late := time.AfterFunc(answerWithin, c.cut)
	resp, err := c.send(ctx, http.MethodGet, task.PathEvents, nil)
	late.Stop()
	if err != nil {
		return nil, err
	}
	if err := statusError(resp); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// readLine returns the next line without its end. What it returns is valid until the next read.
func readLine(br *bufio.Reader, most int) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > most {
			return nil, fmt.Errorf("a line has more than %d bytes", most)
		}
		line, err = br.ReadSlice('\n')
		long = append(long, line...)
	}
	return bytes.TrimSuffix(long, []byte("\n")), err
}

// parseEvent reads an event and refuses one that speaks of what is not the runner's.
func parseEvent(line []byte, ref faas.RevisionRef) (*task.Event, error) {
	var e task.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	if e.Record != nil && (e.Record.Ref() != ref || e.Record.ID != e.Invocation) {
		return nil, fmt.Errorf("event %d is about %s of %s", e.Seq, e.Record.ID, e.Record.Ref())
	}
	if e.Invocation != "" {
		if _, err := faas.ParseInvocationID(string(e.Invocation)); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
	}
	return &e, nil
}

// tellFirst has a runner that just joined told the peers.
func (h *Hub) tellFirst(c *control) {
	var asked []string
	if h.opts.Peers != nil {
		asked = h.opts.Peers()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.edition == 0 && len(asked) > 0 {
		h.peers, h.edition = asked, 1
	}
	h.tellPeers(c)
}

// tellPeers has the runner told the current peers, unless that is under way. Hub.mu is held.
func (h *Hub) tellPeers(c *control) {
	if h.closed || c.telling {
		return
	}
	c.telling = true
	h.group.Go(func() {
		for {
			peers, more := h.untold(c)
			if !more {
				return
			}
			body, err := json.Marshal(peers)
			if err == nil {
				err = c.order(h.life, http.MethodPut, task.PathPeers, body)
			}
			if err != nil && h.life.Err() == nil {
				h.log.Info("peers not told", "cause", err) // a runner that dials in again is
			}
		}
	})
}

// untold returns the peers that the runner is still to be told of.
func (h *Hub) untold(c *control) ([]string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.told == h.edition {
		c.telling = false
		return nil, false
	}
	c.told = h.edition
	return h.peers, true
}

// Attach waits until a connected runner holds the invocation and then for its
// outcome, until ctx ends; ctx has no hold on the answer's body. It may be called
// for the same invocation several times. ErrGone: its runner says that it does not
// hold it: it was acknowledged, or given back before its commit was complete.
func (h *Hub) Attach(ctx context.Context, id faas.InvocationID) (*Answer, error) {
	for {
		r, c, err := h.seek(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
		ans, err := h.attach(ctx, r, c, id)
		switch {
		case err == nil:
			h.resolve(id)
			return ans, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("attach to %s: %w", id, ctx.Err())
		case !errors.Is(err, ErrAway):
			h.resolve(id)
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
		select { // the runner may be back at once, over a connection that does not last either
		case <-c.done:
		case <-ctx.Done():
		case <-time.After(retryAttach):
		}
	}
}

const retryAttach = 100 * time.Millisecond

func (h *Hub) attach(ctx context.Context, r *runner, c *control, id faas.InvocationID) (*Answer, error) {
	resp, release, err := h.open(ctx, c, task.PathInvocations+string(id)) //nolint:bodyclose // the answer closes it
	if err != nil {
		h.settleGone(r, id, err)
		return nil, err
	}
	return newAnswer(resp, r.hello.Runner, func(bool) { release() })
}

// resolve ends the doubt about an invocation that its runner has spoken of.
func (h *Hub) resolve(id faas.InvocationID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.doubts, id)
}

// open makes a request whose answer's body outlives ctx: release ends it.
func (h *Hub) open(ctx context.Context, c *control, path string) (resp *http.Response, release func(), err error) {
	own, cancel := context.WithCancel(h.life)
	stop := context.AfterFunc(ctx, cancel)
	resp, err = c.send(own, http.MethodGet, path, nil) //nolint:contextcheck // it outlives ctx
	if err != nil {
		stop()
		cancel()
		return nil, nil, errors.Join(ErrAway, err)
	}
	release = func() { _ = resp.Body.Close(); cancel() }
	if err = statusError(resp); err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return resp, release, nil
}

// settleGone takes note when a runner said that it does not hold an invocation.
func (h *Hub) settleGone(r *runner, id faas.InvocationID, err error) {
	if errors.Is(err, ErrGone) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.unhold(r, id)
	}
}

// Log returns the invocation's log from that byte on: what there is now, or with
// follow to the call's end; ctx has no hold on it once it is there. Close it. ErrAway, ErrGone.
func (h *Hub) Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	r, c := h.holder(id)
	if r == nil {
		return nil, fmt.Errorf("log of %s: %w", id, ErrAway)
	}
	resp, release, err := h.open(ctx, c, task.PathInvocations+string(id)+"/log?from="+strconv.FormatInt(from, 10)+"&follow="+strconv.FormatBool(follow)) //nolint:bodyclose // release does
	if err != nil {
		h.settleGone(r, id, err)
		return nil, fmt.Errorf("log of %s: %w", id, err)
	}
	return &releasing{resp.Body, release}, nil
}

type releasing struct {
	io.Reader
	release func()
}

// Close ends the request.
func (r *releasing) Close() error {
	r.release()
	return nil
}

// Cancel ends the invocation's command: SIGTERM, SIGKILL 10 s later. ErrAway, ErrGone.
func (h *Hub) Cancel(ctx context.Context, id faas.InvocationID) error {
	return h.orderFor(ctx, "cancel", http.MethodDelete, id, "")
}

// Keep makes the runner store the invocation's input at once, and its result
// whatever its trigger says. ErrAway, ErrGone.
func (h *Hub) Keep(ctx context.Context, id faas.InvocationID) error {
	return h.orderFor(ctx, "keep", http.MethodPost, id, "/keep")
}

// Ack says that the invocation's outcome is settled: its runner forgets it once the
// uploads are done. ErrAway, ErrGone.
func (h *Hub) Ack(ctx context.Context, id faas.InvocationID) error {
	return h.orderFor(ctx, "acknowledge", http.MethodPost, id, "/ack")
}

func (h *Hub) orderFor(ctx context.Context, what, method string, id faas.InvocationID, suffix string) error {
	r, c := h.holder(id)
	if r == nil {
		return fmt.Errorf("%s %s: %w", what, id, ErrAway)
	}
	if err := c.order(ctx, method, task.PathInvocations+string(id)+suffix, nil); err != nil {
		h.settleGone(r, id, err)
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// Drain makes a runner take no more and end when it is idle. ErrAway when it is not connected.
func (h *Hub) Drain(ctx context.Context, id faas.RunnerID) error {
	h.mu.Lock()
	r := h.runners[id]
	var c *control
	if r != nil && r.control != nil {
		c = r.control
		r.draining = true
		r.pool.rank(r)
	}
	h.mu.Unlock()
	if c == nil {
		return fmt.Errorf("drain runner %s: %w", id, ErrAway)
	}
	if err := c.order(ctx, http.MethodPost, task.PathDrain, nil); err != nil {
		return fmt.Errorf("drain runner %s: %w", id, err)
	}
	return nil
}
