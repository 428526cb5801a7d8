package transfer

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestBroughtRootsHoldWellKnownOnes(t *testing.T) {
	pool, err := bundled()
	if err != nil {
		t.Fatal(err)
	}
	if pool.Equal(x509.NewCertPool()) {
		t.Error("there are none")
	}
	if pool, err = roots(); err != nil || pool.Equal(x509.NewCertPool()) {
		t.Errorf("got none, %v", err)
	}
}

// TestOverTLS: a store is spoken to over TLS, and only when its certificate is by somebody who is known.
func TestOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer s.Close()
	s.Config.ErrorLog = nil
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		pool := x509.NewCertPool()
		if known {
			pool.AddCert(s.Certificate())
		}
		c := newClient(func() (*x509.CertPool, error) { return pool, nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := c.Put(ctx, s.URL+"/key", object("text"))
		cancel()
		c.Close()
		var authority x509.UnknownAuthorityError
		if known && err != nil || !known && !errors.As(err, &authority) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
