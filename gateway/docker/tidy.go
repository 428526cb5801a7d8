package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"davit/internal/every"
	"davit/internal/faas"
)

const (
	tidyEvery  = 15 * time.Minute
	tidyWithin = 2 * time.Minute
	// goneFor is how long a revision must be unregistered before its image is removed, because its runners may still
	// start.
	goneFor = 20 * time.Minute
)

// Run removes at intervals, until ctx ends, what builds left in the daemon and the images of deleted functions in
// daemon and registry. If something cannot be removed, it tries again at the next interval. It always returns nil.
func (b *Builder) Run(ctx context.Context) error {
	every.Interval(ctx, tidyEvery, func(ctx context.Context) {
		if err := b.Tidy(ctx); err != nil && ctx.Err() == nil {
			b.opts.Log.Warn("removing what builds left failed; trying again later", "error", err)
		}
	})
	return nil
}

// Tidy does once what Run does at intervals.
func (b *Builder) Tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tidyWithin)
	defer cancel()
	err := errors.Join(b.removeContainers(ctx), b.findOrphans(ctx), b.removeUnused(ctx, true), b.forgetImages(ctx))
	if err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	return nil
}

// tidyAfter cleans up after a build: it keeps only the newest image of the function, whose layers the next build can
// use.
func (b *Builder) tidyAfter(ref faas.RevisionRef) {
	ctx, cancel := context.WithTimeout(b.life, tidyWithin)
	defer cancel()
	err := errors.Join(b.removeOlder(ctx, ref), b.removeUnused(ctx, false))
	if err != nil && b.life.Err() == nil {
		b.opts.Log.Info("removing what a build left failed; trying again later", "revision", ref.String(), "error", err)
	}
}

// removeOlder removes the images of a function's older revisions from the daemon.
func (b *Builder) removeOlder(ctx context.Context, newest faas.RevisionRef) error {
	tags, err := b.tags(ctx, b.registry.repository(newest.Function))
	if err != nil {
		return err
	}
	var errs []error
	for tag, ref := range tags {
		if ref.Number < newest.Number {
			errs = append(errs, b.untag(ctx, tag))
		}
	}
	return errors.Join(errs...)
}

// tags returns the tags of functions' images in the daemon.
func (b *Builder) tags(ctx context.Context, repository string) (map[string]faas.RevisionRef, error) {
	list, err := b.docker.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("reference", repository)})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	found := map[string]faas.RevisionRef{}
	for i := range list.Items {
		for _, tag := range list.Items[i].RepoTags {
			if ref, is := b.registry.revision(tag); is {
				found[tag] = ref
			}
		}
	}
	return found, nil
}

// untag removes a tag. With the last tag the daemon removes the image, and its parents that nothing else needs.
func (b *Builder) untag(ctx context.Context, tag string) error {
	_, err := b.docker.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("remove the image %s: %w", tag, err)
}

// unusedWithin bounds how long builds must wait for a removal.
const unusedWithin = 20 * time.Second

// removeUnused removes what no build needs any more. It does nothing during a build, which may be about to use it.
func (b *Builder) removeUnused(ctx context.Context, all bool) error {
	if !b.building.TryLock() {
		return nil
	}
	defer b.building.Unlock()
	ctx, cancel := context.WithTimeout(ctx, unusedWithin)
	defer cancel()
	return errors.Join(b.releasePulled(ctx), b.removeOrphans(ctx, all))
}

// releasePulled removes pulled images that no build uses and that were pulled more than freshFor ago.
func (b *Builder) releasePulled(ctx context.Context) error {
	b.mu.Lock()
	var idle []string
	for ref, p := range b.pulled {
		if p.users == 0 && b.opts.Now().Sub(p.at) >= freshFor {
			idle = append(idle, ref)
			b.orphans[p.id] = true // in case the daemon keeps it without a tag
			delete(b.pulled, ref)
		}
	}
	b.mu.Unlock()
	var errs []error
	for _, ref := range idle {
		errs = append(errs, b.untag(ctx, ref))
	}
	return errors.Join(errs...)
}

// removeContainers removes the containers of ended builds, which a killed daemon leaves behind.
func (b *Builder) removeContainers(ctx context.Context) error {
	list, err := b.docker.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var errs []error
	for i := range list.Items {
		c := &list.Items[i]
		if c.State == container.StateRunning || b.opts.Now().Sub(time.Unix(c.Created, 0)) < b.opts.Longest {
			continue
		}
		if mark, err := b.markOf(ctx, c.ID); err != nil || mark == "" {
			continue
		}
		_, err := b.docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove the container %s: %w", c.ID, err))
		}
	}
	return errors.Join(errs...)
}

// forgetImages removes the images of unregistered revisions from daemon and registry.
func (b *Builder) forgetImages(ctx context.Context) error {
	if b.opts.Known == nil {
		return nil
	}
	local, err := b.tags(ctx, b.registry.host+"/"+b.registry.path+"/*")
	if err != nil {
		return err
	}
	registry, err := b.registryOf(ctx)
	if err != nil {
		return err
	}
	all, err := b.registryImages(ctx, registry)
	errs := []error{err}
	maps.Copy(all, local)
	gone, err := b.unregistered(ctx, all)
	errs = append(errs, err)
	for _, tag := range gone {
		if _, is := local[tag]; is {
			errs = append(errs, b.untag(ctx, tag))
		}
	}
	return errors.Join(append(errs, b.removeFromRegistry(ctx, registry, gone))...)
}

// unregistered returns the tags whose revisions have not been registered for goneFor.
func (b *Builder) unregistered(ctx context.Context, tags map[string]faas.RevisionRef) ([]string, error) {
	b.mu.Lock()
	before := b.gone
	b.mu.Unlock()
	now := b.opts.Now()
	seen := map[string]time.Time{}
	var gone []string
	var errs []error
	for tag, ref := range tags {
		known, err := b.opts.Known(ctx, ref)
		if err != nil {
			errs = append(errs, err)
		}
		if err != nil || known {
			continue
		}
		since, is := before[tag]
		if !is {
			since = now
		}
		seen[tag] = since
		if now.Sub(since) >= goneFor {
			gone = append(gone, tag)
		}
	}
	b.mu.Lock()
	b.gone = seen
	b.mu.Unlock()
	return gone, errors.Join(errs...)
}
