package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// findOrphans adds the images of builds that ended without a report of all images: those without a name that were made
// while such a build ran. It waits until no other build can use them.
func (b *Builder) findOrphans(ctx context.Context) error {
	b.mu.Lock()
	over := slices.DeleteFunc(slices.Clone(b.incomplete), func(s span) bool { return b.opts.Now().Sub(s.to) < b.opts.Longest })
	b.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	list, err := b.docker.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("dangling", "true")})
	if err != nil {
		return fmt.Errorf("list images without a name: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range list.Items {
		at := time.Unix(list.Items[i].Created, 0)
		if slices.ContainsFunc(over, func(s span) bool { return s.contains(at) }) {
			b.orphans[list.Items[i].ID] = true
		}
	}
	b.incomplete = slices.DeleteFunc(b.incomplete, func(s span) bool { return slices.Contains(over, s) })
	return nil
}

// maxInUse bounds how many images are remembered that others are built on.
const maxInUse = 2000

// removeOrphans removes the images that steps made and nothing needs: stages, and those of failed builds. Images that
// others are built on, or that a container uses, are kept for later; with all, the kept ones are tried again.
func (b *Builder) removeOrphans(ctx context.Context, all bool) error {
	b.mu.Lock()
	ids := slices.Collect(maps.Keys(b.orphans))
	if all {
		ids = slices.AppendSeq(ids, maps.Keys(b.inUse))
	}
	b.mu.Unlock()
	left, err := b.removeAll(ctx, ids)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		delete(b.orphans, id)
		delete(b.inUse, id)
	}
	for _, id := range left {
		if len(b.inUse) < maxInUse {
			b.inUse[id] = true
		}
	}
	return err
}

// removeAll removes images and returns those that are in use. An image can be removed only after those built on it, so
// that it takes as many rounds as there are layers.
func (b *Builder) removeAll(ctx context.Context, ids []string) (left []string, err error) {
	for before := len(ids) + 1; len(ids) > 0 && len(ids) < before; {
		before, left = len(ids), nil
		for i, id := range ids {
			done, err := b.removeUnnamed(ctx, id)
			if err != nil {
				return append(left, ids[i:]...), err
			}
			if !done {
				left = append(left, id)
			}
		}
		ids = left
	}
	return ids, nil
}

// removeUnnamed removes an image unless another is built on it or a container uses it. done reports that the image is
// gone or has a tag, and so is removed with the tag.
func (b *Builder) removeUnnamed(ctx context.Context, id string) (done bool, err error) {
	found, err := b.docker.ImageInspect(ctx, id)
	switch {
	case errdefs.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("inspect the image %s: %w", id, err)
	case len(found.RepoTags)+len(found.RepoDigests) > 0:
		return true, nil
	}
	_, err = b.docker.ImageRemove(ctx, found.ID, client.ImageRemoveOptions{})
	switch {
	case err == nil, errdefs.IsNotFound(err), strings.Contains(err.Error(), unknownID):
		return true, nil
	case errdefs.IsConflict(err):
		return false, nil
	}
	return false, fmt.Errorf("remove the image %s: %w", id, err)
}
