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
	answerWithin  = 10 * time.Second // for a request that a runner can answer at once
	maxEvent      = 8 << 20
	streamWindow  = 512 << 10
	runnerAddress = "runner:80" // never dialled: the connection exists already
)

// newControl begins HTTP/2 on a connection, as its client.
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

// cut closes the connection and so ends all requests on it.
func (c *control) cut() {
	_ = c.http.Close()
	_ = c.net.Close()
}

// send sends one request. The caller closes the response's body.
func (c *control) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+runnerAddress+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.http.RoundTrip(req)
}

// order sends one request that the runner answers at once, without a body.
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

// statusError returns the error for a response's status: ErrGone for 404, nil for 2xx.
func statusError(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return ErrGone
	case resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("the runner answered %d", resp.StatusCode)
	}
	return nil
}

// events requests the stream of events. The response's head must arrive within answerWithin.
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

// readLine returns the next line without its end. The line is valid until the next read.
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

// parseEvent reads an event. It refuses an event with a record of another revision or invocation.
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
