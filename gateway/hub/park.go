package hub

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"davit/internal/sock"
	"davit/internal/task"
)

// The bounds of what a runner may say when it dials in.
const (
	helloWithin = 10 * time.Second
)

// servePark lets a runner in and turns its connection around.
func (h *Hub) servePark(w http.ResponseWriter, req *http.Request) {
	select {
	case <-h.started:
	case <-h.life.Done():
		return
	}
	ctrl := http.NewResponseController(w)
	if err := ctrl.SetReadDeadline(time.Now().Add(helloWithin)); err != nil {
		h.log.Error("runner's hello has no deadline", "cause", err)
	}
	hello, kind, err := h.hear(w, req)
	if err == nil {
		err = h.admit(hello, kind, req.Header)
	}
	if err != nil {
		h.turnAway(w, req, err)
		return
	}
	nc, rw, err := ctrl.Hijack()
	if err != nil {
		h.log.Error("runner's connection not taken over", "cause", err)
		return
	}
	if err := h.turnAround(nc, rw.Reader.Buffered()); err != nil {
		_ = nc.Close()
		h.log.Info("runner's connection broke", "runner", hello.Runner, "cause", err)
		return
	}
	h.enter(hello, kind, nc)
}

func (h *Hub) turnAway(w http.ResponseWriter, req *http.Request, err error) {
	status := http.StatusBadRequest
	if r, ok := errors.AsType[*refusal](err); ok {
		status = r.status
	}
	if status != statusLinked {
		h.log.Warn("runner refused", "from", req.RemoteAddr, "status", status, "cause", err)
	}
	w.Header().Set("Connection", "close")
	http.Error(w, err.Error(), status)
}

// hear reads and checks a hello. The token is checked first: a stranger is not listened to.
func (h *Hub) hear(w http.ResponseWriter, req *http.Request) (*task.Hello, task.LinkKind, error) {
	if !strings.EqualFold(req.Header.Get("Upgrade"), task.Protocol) {
		return nil, "", refuse(http.StatusBadRequest, "only %q is spoken here", task.Protocol)
	}
	ref, err := parseRef(req.Header.Get(task.HeaderRevision))
	if err != nil {
		return nil, "", err
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok || !h.opts.Verify(ref, token) {
		return nil, "", refuse(http.StatusUnauthorized, "the token is not one of revision %s", ref)
	}
	kind := task.LinkKind(req.Header.Get(task.HeaderLinkKind))
	most := int64(task.MaxSlotHello)
	switch kind {
	case task.LinkSlot:
	case task.LinkControl:
		most = task.MaxHello
	default:
		return nil, "", refuse(http.StatusBadRequest, "a connection is for %q or %q", task.LinkSlot, task.LinkControl)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, most))
	if err != nil {
		return nil, "", refuse(http.StatusBadRequest, "read hello: %v", err)
	}
	hello, err := parseHello(body, ref, kind)
	return hello, kind, err
}

// admit refuses whom enter would not let in, while that can still be said.
func (h *Hub) admit(hello *task.Hello, kind task.LinkKind, head http.Header) error {
	if kind == task.LinkControl {
		for id := range strings.SplitSeq(head.Get(task.HeaderLinked), ",") {
			if id == string(h.opts.Gateway) {
				return refuse(statusLinked, "already connected to gateway %s", id)
			}
		}
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	_, err := h.roster.known(hello)
	return err
}

// turnAround answers 101; what the runner sent beyond its request is a fault.
func (h *Hub) turnAround(nc net.Conn, unread int) error {
	if unread > 0 {
		return errors.New("it spoke before it was asked")
	}
	if err := sock.Tune(nc); err != nil {
		return err
	}
	if err := nc.SetDeadline(time.Now().Add(helloWithin)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n",
		task.Protocol, task.HeaderGateway, h.opts.Gateway)
	if err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// enter makes the connection one of the runner's.
func (h *Hub) enter(hello *task.Hello, kind task.LinkKind, nc net.Conn) {
	h.roster.mu.Lock()
	r, err := h.roster.known(hello)
	h.roster.mu.Unlock()
	if err == nil && kind == task.LinkSlot {
		if !h.roster.park(r, newConn(nc, r)) {
			err = errors.New("no place for another slot")
		} else if h.roster.firstParked(r) {
			h.observe.Parked(r.hello)
		}
	} else if err == nil {
		err = h.join(r, hello, nc)
	}
	if err != nil {
		_ = nc.Close()
		h.log.Info("runner's connection not kept", "runner", hello.Runner, "cause", err)
	}
}

// join starts the life of a control connection.
func (h *Hub) join(r *runner, hello *task.Hello, nc net.Conn) error {
	c, err := newControl(h.life, nc)
	if err != nil {
		return err
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if h.roster.closed || h.roster.runners[hello.Runner] != r {
		c.cut()
		return errors.New("the runner was forgotten meanwhile")
	}
	before := r.latest
	r.latest = c
	h.group.Go(func() { h.serveControl(r, c, before, hello) })
	return nil
}
