package park

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const askWithin = 3 * time.Minute // because a store may need minutes to join thousands of parts

// ErrAsked says that asking a gateway again is no use.
var ErrAsked = errors.New("the gateways refuse")

// NewMultipartClient returns a MultipartClient that asks with the token of a revision.
func NewMultipartClient(ref faas.RevisionRef, token string) *MultipartClient {
	return &MultipartClient{ref: ref, token: token, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: askWithin}}
}

// BeginParts asks a gateway to begin an upload in parts. It returns ErrAsked if a gateway refuses, and tries again
// after every other error until ctx ends.
func (d *MultipartClient) BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error) {
	var p task.Parts
	if err := d.ask(ctx, task.PathParts+string(id), w, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// CompleteParts asks a gateway to join the parts to an object. Its errors are those of BeginParts.
func (d *MultipartClient) CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error {
	return d.ask(ctx, task.PathParts+string(id)+"/done", done, nil)
}

// ask posts a request to one gateway after another until one answers.
func (d *MultipartClient) ask(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("ask a gateway: %w", err)
	}
	pause := newPause()
	for last := errors.New("none is connected"); ; {
		for _, address := range d.addresses() {
			last = d.askOne(ctx, "http://"+address+path, body, answer)
			if last == nil || errors.Is(last, ErrAsked) {
				return last
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("ask a gateway: %w", errors.Join(ctx.Err(), last))
		}
		_ = pause.Wait(ctx)
	}
}

func (d *MultipartClient) askOne(ctx context.Context, url string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set(task.HeaderRevision, d.ref.String())
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusConflict, resp.StatusCode == http.StatusBadRequest:
		detail, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // as much as can be read
		return fmt.Errorf("%w: %s", ErrAsked, strings.TrimSpace(string(detail)))
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("%s answers %s", req.URL.Host, resp.Status)
	case answer == nil:
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, task.MaxParts)).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	return nil
}

func (d *MultipartClient) addresses() []string {
	d.mu.Lock()
	gateways := d.gateways
	d.mu.Unlock()
	if gateways == nil {
		return nil
	}
	return gateways()
}

// open sets the function that returns the gateways' addresses.
func (d *MultipartClient) open(gateways func() []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gateways = gateways
}

// connected returns the addresses of the gateways whose control connections are open.
func (l *connections) connected() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var addresses []string
	for address, k := range l.links {
		if k.gateway != "" {
			addresses = append(addresses, address)
		}
	}
	return addresses
}
