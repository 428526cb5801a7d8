package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"davit/internal/faas"
)

// freshFor is how long a pulled image is used without pulling its name again, and how long it is kept after the last
// pull if no build uses it.
const freshFor = time.Hour

// fetch makes sure that the daemon has an image to build on, and returns what it says of it. The images that the
// ONBUILD instructions of the image copy from must be allowed as base images are.
func (w *work) fetch(ctx context.Context, name string, base bool) (*image.InspectResponse, error) {
	found, err := w.obtain(ctx, name, base)
	if err != nil || found.Config == nil {
		return found, err
	}
	names, err := triggered(found.Config.OnBuild)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := w.obtain(ctx, name, true); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// obtain makes sure that the daemon has an image, and returns what it says of it. A base image must be allowed. It is
// not pulled if the daemon had it before, or if this process pulled it with the same login within the last hour. Any
// other image is pulled; if the pull fails, an image that the daemon had before is used instead.
func (w *work) obtain(ctx context.Context, name string, base bool) (*image.InspectResponse, error) {
	named, err := w.mayUse(name, base)
	if err != nil {
		return nil, err
	}
	ref := named.String()
	found, err := w.lookUp(ctx, ref)
	if err != nil {
		return nil, err
	}
	ours, fresh := w.use(ref)
	if found == nil || ours && !fresh || !ours && !base {
		had := found
		if ours {
			had = nil
		}
		if found, err = w.pullNewest(ctx, named, had); err != nil {
			return nil, err
		}
	}
	short := reference.FamiliarString(named)
	w.logf("using %s (%s)", short, found.ID)
	return found, w.fits("the image "+short, found)
}

// pullNewest pulls an image. If that fails it returns the image that the daemon had before, unless there is none (had
// is nil) or the image once came from a registry that denies it to this function.
func (w *work) pullNewest(ctx context.Context, named reference.Named, had *image.InspectResponse) (*image.InspectResponse, error) {
	err := w.pullImage(ctx, named)
	if err != nil && (had == nil || ctx.Err() != nil || isDaemonUnavailable(err) || errors.Is(err, errDenied) && len(had.RepoDigests) > 0) {
		return nil, err
	}
	if err != nil {
		w.logf("%s; the one that is there is used", detailOf(err))
	}
	found, err := w.lookUp(ctx, named.String())
	if err == nil && found == nil {
		err = faas.Errorf(faas.Unavailable, "the image %s was removed while it was used; send the function again", reference.FamiliarString(named))
	}
	if err == nil && had == nil {
		w.notePull(named.String(), found.ID)
	}
	return found, err
}

// detailOf returns what users read of an error.
func detailOf(err error) string {
	var e *faas.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// mayUse reads the name of an image, and refuses an image that this function must not build on.
func (w *work) mayUse(name string, base bool) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, faas.Errorf(faas.BuildFailed, "%q is no name of an image: %v", name, err)
	}
	named = reference.TagNameOnly(named)
	if w.registry.contains(named.Name()) && named.Name() != w.registry.repository(w.rev.Function) {
		return nil, faas.Errorf(faas.BuildFailed, "%s is the image of another function, which cannot be built on", reference.FamiliarString(named))
	}
	if base {
		if err := w.allowed.check(named); err != nil {
			return nil, err
		}
	}
	return named, nil
}

// lookUp returns what the daemon says of an image, or nil if it has none of that name.
func (w *work) lookUp(ctx context.Context, name string) (*image.InspectResponse, error) {
	found, err := w.inspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil, nil //nolint:nilnil // to have none is no error
	}
	return &found, err
}

func (w *work) inspect(ctx context.Context, name string) (image.InspectResponse, error) {
	found, err := w.docker.ImageInspect(ctx, name)
	return found.InspectResponse, err
}

// use records that this build uses an image. ours reports whether this process has pulled it, fresh whether it need not
// be pulled again.
func (w *work) use(ref string) (ours, fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pulled[ref]
	if p == nil {
		return false, false
	}
	p.users++
	w.uses = append(w.uses, ref)
	return true, p.secret == w.rev.Spec.RegistrySecret && w.opts.Now().Sub(p.at) < freshFor
}

// notePull records an image that this build has pulled.
func (w *work) notePull(ref, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pulled[ref]
	if p == nil {
		p = &pulled{users: 1}
		w.pulled[ref] = p
		w.uses = append(w.uses, ref)
	}
	p.at, p.id, p.secret = w.opts.Now(), id, w.rev.Spec.RegistrySecret
}

// pullImage pulls an image.
func (w *work) pullImage(ctx context.Context, named reference.Named) error {
	ref, short := named.String(), reference.FamiliarString(named)
	w.logf("pulling %s", short)
	auth, err := w.login.header(reference.Domain(named))
	if err != nil {
		return err
	}
	answer, err := w.docker.ImagePull(ctx, ref, client.ImagePullOptions{RegistryAuth: auth})
	if err == nil {
		defer func() { _ = answer.Close() }()
		err = follow(ctx, answer, func(m *message) error {
			if m.ID != "" && (m.Status == "Pull complete" || m.Status == "Already exists") {
				w.logf("  %s: %s", m.ID, m.Status)
			}
			return nil
		})
	}
	if err != nil && (ctx.Err() != nil || isDaemonUnavailable(err)) {
		return err
	}
	if err != nil {
		return w.pullError(short, err)
	}
	return nil
}

// deniedMarks are in the errors of a registry that refuses a login or its absence.
func deniedMarks() []string {
	return []string{"unauthorized", "no basic auth credentials", "authentication required", "denied", "401 Unauthorized", "403 Forbidden"}
}

var errDenied = errors.New("the registry asks for a login")

// pullError explains why an image cannot be pulled.
func (w *work) pullError(short string, err error) error {
	text := err.Error()
	fault := func(kind faas.Kind, cause error, detail string) error {
		return &faas.Error{Kind: kind, Detail: "the image " + short + " " + detail, Err: cause}
	}
	switch {
	case strings.Contains(text, "pull access denied"):
		return fault(faas.BuildFailed, errors.Join(errDenied, err), "is not there, or needs a login: check its name, or name a registry_secret")
	case containsAny(text, deniedMarks()):
		return fault(faas.BuildFailed, errors.Join(errDenied, err), "needs a login that its registry accepts: name a registry_secret with one")
	case strings.Contains(text, "no matching manifest"):
		return fault(faas.BuildFailed, err, "is not there for "+w.os+"/"+w.arch+", on which functions run here")
	case strings.Contains(text, noSpace):
		return fault(faas.BuildFailed, err, "does not fit: there is no space left where images are built")
	case isRegistryUnavailable(text):
		return fault(faas.Unavailable, err, "cannot be pulled: its registry does not answer ("+plainMessage(text)+")")
	case errdefs.IsNotFound(err), strings.Contains(text, "not found"), strings.Contains(text, "manifest unknown"):
		return fault(faas.BuildFailed, err, "was not found: check its name")
	}
	return fault(faas.BuildFailed, err, "cannot be pulled: "+plainMessage(text))
}
