package hub

import (
	"context"
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

// helloWithin is how long a runner may take to send its hello, and how long it waits for a hub that does not run yet.
const helloWithin = 10 * time.Second

// servePark lets a runner in; from the upgrade on, the gateway is the connection's client.
func (h *Hub) servePark(w http.ResponseWriter, req *http.Request) {
	if err := h.awaitRun(req.Context()); err != nil {
		h.refuseRunner(w, req, err)
		return
	}
	ctrl := http.NewResponseController(w)
	if err := ctrl.SetReadDeadline(time.Now().Add(helloWithin)); err != nil {
		h.log.Error("runner's hello has no deadline", "error", err)
	}
	hello, kind, err := h.readHello(w, req)
	if err == nil {
		err = h.admit(hello, kind, req.Header)
	}
	if err != nil {
		h.refuseRunner(w, req, err)
		return
	}
	nc, rw, err := ctrl.Hijack()
	if err != nil {
		h.log.Error("runner's connection not upgraded", "error", err)
		return
	}
	if err := h.upgrade(nc, rw.Reader.Buffered()); err != nil {
		_ = nc.Close()
		h.log.Info("runner's connection broke", "runner", hello.Runner, "error", err)
		return
	}
	h.addConn(hello, kind, nc)
}

// awaitRun waits until Run has begun, because its observer must learn of every runner.
func (h *Hub) awaitRun(ctx context.Context) error {
	within := time.NewTimer(helloWithin)
	defer within.Stop()
	select {
	case <-h.started:
		return nil
	case <-ctx.Done():
	case <-within.C:
	}
	return refuse(statusLater, "the gateway has not started yet")
}

func (h *Hub) refuseRunner(w http.ResponseWriter, req *http.Request, err error) {
	status := http.StatusBadRequest
	if r, ok := errors.AsType[*refusal](err); ok {
		status = r.status
	}
	if status != statusLinked {
		h.log.Warn("runner refused", "from", req.RemoteAddr, "status", status, "error", err)
	}
	w.Header().Set("Connection", "close")
	http.Error(w, err.Error(), status)
}

// readHello reads and checks a hello. It checks the token before it reads the body.
func (h *Hub) readHello(w http.ResponseWriter, req *http.Request) (*task.Hello, task.LinkKind, error) {
	if !strings.EqualFold(req.Header.Get("Upgrade"), task.Protocol) {
		return nil, "", refuse(http.StatusBadRequest, "the header Upgrade must be %q", task.Protocol)
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

// admit refuses a runner that addConn would refuse, while an HTTP status can still be sent.
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

// upgrade answers 101. It fails if the runner has sent more than its request.
func (h *Hub) upgrade(nc net.Conn, unread int) error {
	if unread > 0 {
		return errors.New("the runner sent data before the gateway's first request")
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

// addConn adds the connection to its runner, or closes it.
func (h *Hub) addConn(hello *task.Hello, kind task.LinkKind, nc net.Conn) {
	h.roster.mu.Lock()
	r, err := h.roster.known(hello)
	h.roster.mu.Unlock()
	if err == nil && kind == task.LinkSlot {
		if !h.roster.park(r, newConn(nc, r)) {
			err = errors.New("all slots of the runner have connections that are in use")
		} else if h.roster.firstParked(r) {
			h.observe.Parked(r.hello)
		}
	} else if err == nil {
		err = h.join(r, hello, nc)
	}
	if err != nil {
		_ = nc.Close()
		h.log.Info("runner's connection not kept", "runner", hello.Runner, "error", err)
	}
}

// join begins to serve a control connection.
func (h *Hub) join(r *runner, hello *task.Hello, nc net.Conn) error {
	c, err := newControl(h.life, nc)
	if err != nil {
		return err
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if h.roster.closed || h.roster.runners[hello.Runner] != r {
		c.cut()
		return errors.New("the hub dropped the runner meanwhile")
	}
	before := r.latest
	r.latest = c
	h.group.Go(func() { h.serveControl(r, c, before, hello) })
	return nil
}
