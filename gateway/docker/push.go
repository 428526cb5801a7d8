package docker

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"davit/internal/backoff"
	"davit/internal/faas"
)

// pushTries is how often a push is tried while the registry is unavailable, with a pause that doubles each time. There
// is no further try after pushPatience, because a try takes the daemon half a minute if nothing refuses the connection.
const (
	pushTries    = 4
	firstWait    = time.Second
	pushPatience = 20 * time.Second
)

var errRegistryUnavailable = errors.New("the registry is unavailable")

// push pushes an image and returns its digest after the registry has confirmed it.
func (w *work) push(ctx context.Context, tag string) (digest string, err error) {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return "", fmt.Errorf("read the tag: %w", err)
	}
	var own *login
	if w.opts.RegistryLogin != "" {
		own, _ = parseLogin(w.opts.RegistryLogin)
	}
	auth, err := own.header(reference.Domain(named))
	if err != nil {
		return "", err
	}
	w.logf("pushing %s", tag)
	pause, began := backoff.Backoff{Min: w.pushWait, Max: pushPatience}, time.Now()
	for try := 1; ; try++ {
		digest, err = w.pushOnce(ctx, tag, auth)
		if err == nil || try == pushTries || !errors.Is(err, errRegistryUnavailable) || time.Since(began) > pushPatience {
			break
		}
		w.logf("the registry does not answer; trying again")
		if err := pause.Wait(ctx); err != nil {
			return "", err
		}
	}
	if err != nil {
		return "", err
	}
	w.logf("pushed: %s", digest)
	return digest, nil
}

// pushedAs matches how daemons that store images in containerd report the digest.
var pushedAs = regexp.MustCompile(`: digest: (sha256:[0-9a-f]{64}) size: `)

func (w *work) pushOnce(ctx context.Context, tag, auth string) (digest string, err error) {
	answer, err := w.docker.ImagePush(ctx, tag, client.ImagePushOptions{RegistryAuth: auth})
	if err == nil {
		defer func() { _ = answer.Close() }()
		err = follow(ctx, answer, func(m *message) error {
			if found := pushedAs.FindStringSubmatch(m.Status); found != nil {
				digest = found[1]
			}
			if m.Aux != nil && m.Aux.Digest != "" {
				digest = m.Aux.Digest
			}
			return nil
		})
	}
	if err == nil && digest == "" {
		err = fmt.Errorf("the daemon did not say under which digest it pushed %s", tag)
	}
	if err == nil {
		err = w.confirm(ctx, tag, digest, auth)
	}
	return digest, w.pushError(ctx, err)
}

// confirm asks the registry, through the daemon, for the pushed digest.
func (w *work) confirm(ctx context.Context, tag, digest, auth string) error {
	held, err := w.docker.DistributionInspect(ctx, w.registry.pinned(w.rev.Function, digest), client.DistributionInspectOptions{EncodedRegistryAuth: auth})
	if err != nil {
		return fmt.Errorf("ask the registry for %s: %w", tag, err)
	}
	if got := held.Descriptor.Digest.String(); got != digest {
		return fmt.Errorf("the registry has %s instead of %s", got, digest)
	}
	return nil
}

// pushError explains why an image cannot be pushed. The kind is Unavailable, because the source is not at fault.
func (w *work) pushError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if isDaemonUnavailable(err) {
		return err
	}
	text := err.Error()
	detail := "the image could not be pushed: " + plainMessage(text)
	if isRegistryUnavailable(text) {
		detail, err = "the registry does not answer; send the function again when it does", errors.Join(errRegistryUnavailable, err)
	}
	return &faas.Error{Kind: faas.Unavailable, Detail: detail, Err: err}
}
