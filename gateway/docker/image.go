package docker

import (
	"context"

	"davit/internal/faas"
)

// ofImage puts the runner into the image that the spec names, and returns that image's own command.
func (w *work) ofImage(ctx context.Context, tag string) (faas.Command, error) {
	found, err := w.fetch(ctx, w.rev.Spec.Image, false)
	if err != nil {
		return nil, err
	}
	c := configOf(found)
	w.logf("the image works in %q, as user %q, and runs %q", c.WorkingDir, c.User, []string(c.command()))
	return c.command(), w.wrap(ctx, tag, &wrapper{base: found.ID, config: c}, nil)
}
