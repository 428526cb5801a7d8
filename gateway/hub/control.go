package hub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const (
	pingEvery     = 5 * time.Second
	answerWithin  = 10 * time.Second // for what a runner can answer at once
	maxEvent      = 8 << 20
	streamWindow  = 512 << 10
	runnerAddress = "runner:80" // goes nowhere: the connection is there already
)

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
