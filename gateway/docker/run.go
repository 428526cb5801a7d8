package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"

	"davit/internal/faas"
)

var (
	errNoImage = errors.New("the daemon did not report which image it built")
	errDisk    = errors.New("a step wrote too much")
)

// run builds what p packs, with a tag unless it is "", and returns the id of the image. p may be called twice.
func (w *work) run(ctx context.Context, tag string, p pack) (id string, err error) {
	for range 2 {
		if id, err = w.runOnce(ctx, tag, p); err == nil || !isImageGone(err) {
			return id, err
		}
	}
	return "", &faas.Error{Kind: faas.Unavailable, Detail: "an image was removed while it was built on; send the function again", Err: err}
}

func (w *work) runOnce(ctx context.Context, tag string, p pack) (string, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.watch(ctx, stop)
	}()
	s := newSteps(w.log, w.opts.Output)
	err := w.request(ctx, tag, p, s)
	cause := context.Cause(ctx)
	stop(nil)
	<-watched
	w.made = append(w.made, s.made...)
	w.incomplete = w.incomplete || err != nil && daemonError(err) == nil // the daemon may have made images that it did not report
	switch {
	case errors.Is(err, errOutput):
		return "", faas.Errorf(faas.BuildFailed, "the build wrote more than %s to its log, which is the limit", w.opts.Output)
	case errors.Is(cause, errDisk):
		return "", faas.Errorf(faas.BuildFailed, "a step of the build wrote more than %s to its disk, which is the limit", w.opts.Disk)
	case err != nil:
		return "", err
	case s.image == "":
		return "", errNoImage
	}
	return s.image, nil
}

// request sends the build to the daemon, and passes its messages to s until it ends.
func (w *work) request(ctx context.Context, tag string, p pack, s *steps) error {
	body, packed := packing(ctx, p)
	o := client.ImageBuildOptions{
		Version: build.BuilderV1, Dockerfile: contextFile, Remove: true, ForceRemove: true,
		Memory: int64(w.opts.Memory), MemorySwap: int64(w.opts.Memory),
		ExtraHosts: []string{w.mark + ":127.0.0.1"},
	}
	if tag != "" {
		o.Tags = []string{tag}
	}
	answer, err := w.docker.ImageBuild(ctx, body, o)
	if err == nil {
		err = follow(ctx, answer.Body, s.message)
		_ = answer.Body.Close()
	}
	_ = body.Close() // if the daemon did not read all of it
	if fault := packed(); fault != nil {
		return fmt.Errorf("pack what is built: %w", fault)
	}
	return err
}

// watchEvery is how often the disk use of a step is read.
const watchEvery = 2 * time.Second

// watch cancels a build when one of its steps writes more than the limit.
func (w *work) watch(ctx context.Context, stop context.CancelCauseFunc) {
	if w.opts.Disk <= 0 {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if size, err := w.diskUsed(ctx); err == nil && size > int64(w.opts.Disk) { // after an error the next tick tries again
			stop(errDisk)
			return
		}
	}
}

// diskUsed returns how many bytes the running step has written.
func (w *work) diskUsed(ctx context.Context) (int64, error) {
	running, err := w.docker.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list the running steps: %w", err)
	}
	for _, c := range running.Items {
		mark, err := w.markOf(ctx, c.ID)
		if err != nil || mark != w.mark {
			continue
		}
		sized, err := w.docker.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{Size: true})
		if err != nil || sized.Container.SizeRw == nil {
			return 0, err
		}
		return *sized.Container.SizeRw, nil
	}
	return 0, nil
}
