// Package transfer uploads and downloads objects of the store through signed URLs, and tries again while the store is
// unavailable. It has no keys and signs nothing. Start at Client.
package transfer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ErrRefused says that trying again is no use, because the store refused the request.
var ErrRefused = errors.New("the store refuses")

// ErrStalled says that no byte was sent or received for Client.Stall.
var ErrStalled = errors.New("the store is stuck")

const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
	stallTime  = time.Minute
	dialTime   = 10 * time.Second
	maxRefusal = 512 // bytes of a refusal's body that are read
)

// Client uploads and downloads objects. Its methods try again until their context ends.
type Client struct {
	HTTP  *http.Client
	Stall time.Duration // how long no byte may be sent or received; 0: a minute
}

// New returns a Client with an HTTP client of its own. The caller should close it.
func New() *Client { return newClient(roots) }

func newClient(roots func() (*x509.CertPool, error)) *Client {
	dialer := &net.Dialer{Timeout: dialTime}
	roots = sync.OnceValues(roots)
	return &Client{HTTP: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext,
			DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				known, err := roots()
				if err != nil {
					return nil, err
				}
				ctx, cancel := context.WithTimeout(ctx, 2*dialTime) // for dialling and the handshake
				defer cancel()
				d := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: known, MinVersion: tls.VersionTLS12}}
				return d.DialContext(ctx, network, addr)
			},
			ResponseHeaderTimeout: stallTime,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       30 * time.Second,
			DisableCompression:    true,
			WriteBufferSize:       64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// Object is the content that Put stores.
type Object struct {
	Size        int64
	ContentType string
	Open        func() io.ReadCloser // returns a reader from the first byte; called for each try
}

// Put stores an object. Its error wraps ErrRefused if trying again is no use.
func (c *Client) Put(ctx context.Context, to string, o Object) error {
	_, err := c.PutPart(ctx, to, o)
	return err
}

// PutPart is Put and returns the ETag of the store's answer.
func (c *Client) PutPart(ctx context.Context, to string, o Object) (etag string, err error) {
	err = c.try(ctx, "put", func(ctx context.Context, alive func()) error {
		content := o.Open()
		defer func() { _ = content.Close() }()
		var body io.Reader = http.NoBody
		if o.Size > 0 {
			body = &moving{from: content, alive: alive}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, to, body)
		if err != nil {
			return errors.Join(ErrRefused, withoutURL(err))
		}
		req.ContentLength = o.Size
		if o.ContentType != "" {
			req.Header.Set("Content-Type", o.ContentType)
		}
		answer, err := c.HTTP.Do(req)
		if err != nil {
			return withoutURL(err)
		}
		defer func() { _ = answer.Body.Close() }()
		etag = answer.Header.Get("ETag")
		return checkStatus(answer)
	})
	return etag, err
}

// Get downloads an object. Each try calls begin and writes to its writer; the caller discards the bytes of a failed
// try. After an error of the writer Get does not try again.
func (c *Client) Get(ctx context.Context, from string, begin func() io.Writer) error {
	return c.try(ctx, "get", func(ctx context.Context, alive func()) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
		if err != nil {
			return errors.Join(ErrRefused, withoutURL(err))
		}
		answer, err := c.HTTP.Do(req)
		if err != nil {
			return withoutURL(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if err := checkStatus(answer); err != nil {
			return err
		}
		to := &target{to: begin()}
		n, err := io.Copy(to, &moving{from: answer.Body, alive: alive})
		switch {
		case to.err != nil:
			return errors.Join(ErrRefused, to.err)
		case err != nil:
			return withoutURL(err)
		case answer.ContentLength >= 0 && n != answer.ContentLength:
			return io.ErrUnexpectedEOF
		}
		return nil
	})
}

// try calls once until it succeeds, is refused or ctx ends.
func (c *Client) try(ctx context.Context, what string, once func(ctx context.Context, alive func()) error) error {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := c.watched(ctx, once)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s object: %w", what, err)
		if errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// watched runs a try and ends it if no byte is sent or received for c.Stall.
func (c *Client) watched(ctx context.Context, once func(ctx context.Context, alive func()) error) error {
	stall := c.Stall
	if stall == 0 {
		stall = stallTime
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(ErrStalled) })
	defer timer.Stop()
	err := once(ctx, func() { timer.Reset(stall) })
	if err != nil && errors.Is(context.Cause(ctx), ErrStalled) {
		return ErrStalled
	}
	return err
}

// checkStatus returns the error of an answer. It wraps ErrRefused unless the status is one of an unavailable store,
// after which another try may succeed.
func checkStatus(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, min(maxRefusal, refusalBytes(answer))))
	switch code := answer.StatusCode; {
	case code/100 == 2:
		return nil
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return fmt.Errorf("the store answers %s", answer.Status)
	default:
		return fmt.Errorf("%w: %s %.200q", ErrRefused, answer.Status, text)
	}
}

// refusalBytes returns how much of an answer's body is read for the error: 0 after success, because the body is the
// object.
func refusalBytes(answer *http.Response) int64 {
	if answer.StatusCode/100 == 2 {
		return 0
	}
	return maxRefusal
}

// withoutURL removes the URL from an error, because the URL has the signature.
func withoutURL(err error) error {
	if e, is := errors.AsType[*url.Error](err); is {
		return e.Err
	}
	return err
}

// moving calls alive whenever bytes were read.
type moving struct {
	from  io.Reader
	alive func()
}

// Read implements io.Reader.
func (m *moving) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if n > 0 {
		m.alive()
	}
	return n, err
}

// target is a writer that keeps its error.
type target struct {
	to  io.Writer
	err error
}

// Write implements io.Writer.
func (p *target) Write(b []byte) (int, error) {
	n, err := p.to.Write(b)
	if err != nil {
		p.err = err
	}
	return n, err
}
