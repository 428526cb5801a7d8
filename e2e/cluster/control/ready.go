package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// WaitReady waits until the API server is ready. Only then its roles exist, without which the controller manager ends.
// It is an error if the context ends or alive returns false.
func (p *Plane) WaitReady(ctx context.Context, alive func() bool) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	const pause = 50 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		err := ready(ctx, client)
		if err == nil {
			return nil
		}
		if !alive() {
			return fmt.Errorf("the API server ended: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w: %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

// Ready asks the API server once whether it is ready.
func (p *Plane) Ready(ctx context.Context) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return ready(ctx, client)
}

func ready(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, Server()+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

func (p *Plane) client() (*http.Client, error) {
	text, err := os.ReadFile(p.key("ca.crt"))
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(text) {
		return nil, errors.New("the cluster's authority has no certificate")
	}
	admin, err := tls.LoadX509KeyPair(p.key("admin.crt"), p.key("admin.key"))
	if err != nil {
		return nil, err
	}
	const patience = 5 * time.Second
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{admin}, MinVersion: tls.VersionTLS12},
	}}, nil
}
