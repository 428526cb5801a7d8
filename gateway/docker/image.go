package docker

import (
	"context"

	"github.com/moby/moby/api/types/image"

	"davit/internal/faas"
)

// ofImage puts the runner into the image that the spec names, and tells that one's own command.
func (w *work) ofImage(ctx context.Context, tag string) (faas.Command, error) {
	found, err := w.fetch(ctx, w.rev.Spec.Image, false)
	if err != nil {
		return nil, err
	}
	c := configOf(found)
	w.say("the image works in %q, as user %q, and runs %q", c.WorkingDir, c.User, []string(c.command()))
	return c.command(), w.wrap(ctx, tag, &wrapper{base: found.ID, config: c}, nil)
}

// fits refuses an image that nodes like the daemon's cannot run.
func (w *work) fits(name string, found *image.InspectResponse) error {
	if found.Os == w.os && (found.Architecture == w.arch || found.Architecture == "") {
		return nil
	}
	return faas.Errorf(faas.BuildFailed, "%s is for %s/%s, and functions run on %s/%s here", name, found.Os, found.Architecture, w.os, w.arch)
}
