package docker

import (
	"context"
	"strings"

	"github.com/moby/moby/client"
)

// markSuffix ends the extra host name that marks the containers of builds.
const markSuffix = ".davit-build.invalid"

// markOf returns the mark of the build that made a container; "" for other containers.
func (b *Builder) markOf(ctx context.Context, id string) (string, error) {
	found, err := b.docker.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil || found.Container.HostConfig == nil {
		return "", err
	}
	for _, host := range found.Container.HostConfig.ExtraHosts {
		if name, _, _ := strings.Cut(host, ":"); strings.HasSuffix(name, markSuffix) {
			return name, nil
		}
	}
	return "", nil
}
