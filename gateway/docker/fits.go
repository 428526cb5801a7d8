package docker

import (
	"github.com/moby/moby/api/types/image"

	"davit/internal/faas"
)

// fits refuses an image that is not for the daemon's platform, which is that of the nodes.
func (w *work) fits(name string, found *image.InspectResponse) error {
	if found.Os == w.os && (found.Architecture == w.arch || found.Architecture == "") {
		return nil
	}
	return faas.Errorf(faas.BuildFailed, "%s is for %s/%s, and functions run on %s/%s here", name, found.Os, found.Architecture, w.os, w.arch)
}
