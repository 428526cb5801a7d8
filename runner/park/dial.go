package park

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"davit/internal/faas"
	"davit/internal/sock"
	"davit/internal/task"
)

const (
	dialWithin  = 5 * time.Second
	parkWithin  = 10 * time.Second
	earlyBuffer = 4 << 10
)

// refusedError is a gateway's answer that is not 101.
type refusedError struct {
	status int
	detail string
}

// Error returns the status and the gateway's reason.
func (e *refusedError) Error() string { return fmt.Sprintf("refused with %d: %s", e.status, e.detail) }

// final reports whether another try is of no use.
func (e *refusedError) final() bool {
	switch e.status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}

// dial connects to the gateway and parks the connection.
func (k *link) dial(ctx context.Context, kind task.LinkKind) (*parkedConn, faas.GatewayID, error) {
	dial := k.conns.opts.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialWithin}).DialContext
	}
	nc, err := dial(ctx, "tcp", k.address)
	if err != nil {
		return nil, "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	conn, gateway, err := k.park(nc, kind)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		return nil, "", err
	}
	return conn, gateway, nil
}

// park does the handshake.
func (k *link) park(nc net.Conn, kind task.LinkKind) (*parkedConn, faas.GatewayID, error) {
	if err := sock.Tune(nc); err != nil {
		return nil, "", err
	}
	if err := nc.SetDeadline(time.Now().Add(parkWithin)); err != nil {
		return nil, "", err
	}
	request, err := k.request(kind)
	if err != nil {
		return nil, "", err
	}
	if _, err := nc.Write(request); err != nil {
		return nil, "", fmt.Errorf("send hello: %w", err)
	}
	br := bufio.NewReaderSize(nc, earlyBuffer)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return nil, "", fmt.Errorf("read the answer to hello: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		detail, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // as much as can be read
		_ = resp.Body.Close()
		return nil, "", &refusedError{resp.StatusCode, strings.TrimSpace(string(detail))}
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, "", err
	}
	c := &parkedConn{Conn: nc, early: &earlyReader{br: br, conn: nc}, closed: make(chan struct{})}
	return c, faas.GatewayID(resp.Header.Get(task.HeaderGateway)), nil
}

// request returns the bytes of POST /park.
func (k *link) request(kind task.LinkKind) ([]byte, error) {
	hello := k.conns.hello(kind)
	body, err := json.Marshal(hello)
	if err != nil {
		return nil, fmt.Errorf("encode hello: %w", err)
	}
	if len(body) > task.MaxHello {
		for i := range hello.Owned {
			hello.Owned[i] = withoutFiles(hello.Owned[i])
		}
		if body, err = json.Marshal(hello); err != nil {
			return nil, fmt.Errorf("encode hello: %w", err)
		}
	}
	ref := hello.Ref()
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\n%s: %s\r\n%s: %s\r\n",
		task.PathPark, k.address, task.Protocol, k.conns.opts.Token, task.HeaderRevision, ref, task.HeaderLinkKind, kind)
	if kind == task.LinkControl {
		fmt.Fprintf(&b, "%s: %s\r\n", task.HeaderLinked, k.conns.linked())
	}
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes(), nil
}

// withoutFiles returns h without its result's list of files, which a gateway does not need.
func withoutFiles(h task.Owned) task.Owned {
	if h.Outcome == nil || h.Outcome.Result == nil {
		return h
	}
	outcome, result := *h.Outcome, *h.Outcome.Result
	result.Files = nil
	outcome.Result = &result
	h.Outcome = &outcome
	return h
}
