package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/client"

	"davit/internal/faas"
)

// New returns a Builder. It sends no request to the daemon.
func New(o Options) (*Builder, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Longest <= 0 {
		o.Longest = time.Hour
	}
	b := &Builder{opts: o, pushWait: firstWait, pulled: map[string]*pulled{}, orphans: map[string]bool{}, inUse: map[string]bool{}, gone: map[string]time.Time{}}
	b.life, b.stop = context.WithCancel(context.Background())
	var err error
	if b.registry, err = parseAddress(o.Registry); err != nil {
		return nil, fmt.Errorf("read the registry's address: %w", err)
	}
	b.pull = b.registry
	if o.RegistryPull != "" {
		if b.pull, err = parsePullAddress(o.RegistryPull, b.registry); err != nil {
			return nil, fmt.Errorf("read the address to pull from: %w", err)
		}
	}
	if b.allowed, err = newAllowList(o.BaseImages); err != nil {
		return nil, err
	}
	if len(b.allowed) > 0 { // the default is always allowed
		own, err := newAllowList([]string{o.BaseImage})
		if err != nil {
			return nil, err
		}
		b.allowed = append(b.allowed, own...)
	}
	if _, err := os.Stat(o.Runner); err != nil {
		return nil, fmt.Errorf("find the runner: %w", err)
	}
	opts := []client.Opt{client.WithHost(o.Host)}
	if o.Certs != "" {
		in := func(name string) string { return filepath.Join(o.Certs, name) }
		opts = append(opts, client.WithTLSClientConfig(in("ca.pem"), in("cert.pem"), in("key.pem")))
	}
	if b.docker, err = client.New(opts...); err != nil {
		return nil, fmt.Errorf("use the Docker daemon %s: %w", o.Host, err)
	}
	return b, nil
}

// Close waits for the clean-up after builds and closes the connections to the daemon. No build may be running.
func (b *Builder) Close() error {
	b.stop()
	b.tidying.Wait()
	return b.docker.Close()
}

// Build makes a revision's image from source or, if that is nil, from the image that its spec names. It pushes the
// image and returns it by digest after the registry has confirmed it. It writes the steps and their output to log, for
// users. When ctx ends, Build returns and the daemon stops the build. Build may be called again for the same revision.
//
// Errors are *faas.Error: BuildFailed if the source, the image or the login is at fault, or the build exceeded a limit;
// Unavailable if daemon or registry cannot be reached. If ctx ended, the error is its cause.
//
// A registry_secret is "USER:PASSWORD", or the config.json that `docker login` writes; it is used for pulling only.
func (b *Builder) Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error) {
	w, err := b.begin(ctx, rev, log)
	if err != nil {
		return faas.Built{}, explain(ctx, "prepare", err)
	}
	defer w.end() //nolint:contextcheck // the clean-up goes on after the build, on a context of its own
	built, err := w.build(ctx, source)
	if err != nil {
		return faas.Built{}, explain(ctx, "build", err)
	}
	return built, nil
}

// versionWithin bounds how long a daemon may take to answer with its version.
const versionWithin = 20 * time.Second

// begin asks the daemon for its platform and reads the function's login.
func (b *Builder) begin(ctx context.Context, rev *faas.Revision, log io.Writer) (*work, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	w := &work{Builder: b, rev: rev, log: log, began: b.opts.Now(), mark: hex.EncodeToString(id[:]) + markSuffix}
	hello, cancel := context.WithTimeout(ctx, versionWithin)
	defer cancel()
	version, err := b.docker.ServerVersion(hello, client.ServerVersionOptions{})
	switch {
	case err != nil && ctx.Err() == nil && hello.Err() != nil:
		return nil, faas.Errorf(faas.Unavailable, "the Docker daemon does not answer; send the function again when it does")
	case err != nil && daemonError(err) != nil:
		return nil, &faas.Error{Kind: faas.Unavailable, Detail: "the Docker daemon does not let the gateway in: " + plainMessage(err.Error()), Err: err}
	case err != nil:
		return nil, fmt.Errorf("ask the daemon for its version: %w", err)
	}
	w.os, w.arch = version.Os, version.Arch
	if w.login, err = b.loginOf(ctx, rev.Spec.RegistrySecret); err != nil {
		return nil, err
	}
	b.building.RLock()
	return w, nil
}

// end releases what the build used and starts the clean-up.
func (w *work) end() {
	w.mu.Lock()
	for _, ref := range w.uses {
		w.pulled[ref].users--
	}
	for _, id := range w.made {
		w.orphans[id] = true
	}
	if w.incomplete {
		w.Builder.incomplete = append(w.Builder.incomplete, span{w.began, w.opts.Now()})
	}
	w.mu.Unlock()
	w.building.RUnlock()
	w.tidying.Go(func() { w.tidyAfter(w.rev.Ref()) })
}

// build makes the image, pushes it and returns it by digest.
func (w *work) build(ctx context.Context, source io.Reader) (built faas.Built, err error) {
	tag := w.registry.tag(w.rev.Ref())
	before, err := w.lookUp(ctx, tag)
	if err != nil {
		return built, err
	}
	if before != nil { // of an interrupted build; it loses its tag to this one
		w.made = append(w.made, before.ID)
	}
	if source == nil {
		built.Command, err = w.ofImage(ctx, tag)
	} else {
		built.Command, err = w.ofSource(ctx, tag, source)
	}
	if err != nil {
		return built, err
	}
	digest, err := w.push(ctx, tag)
	if err != nil {
		return built, err
	}
	built.Image = w.pull.pinned(w.rev.Function, digest)
	return built, nil
}
