package api

import (
	"context"
	"io"
	"sync"
)

// closing closes a reader once and then ends its context.
type closing struct {
	io.Reader
	close func() error
}

func newClosing(body io.ReadCloser, cancel context.CancelFunc) *closing {
	return &closing{body, sync.OnceValue(func() error {
		defer cancel()
		return body.Close()
	})}
}

// Close closes the reader and then ends the context. Further calls return the same error.
func (c *closing) Close() error { return c.close() }
