package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/text"
)

const (
	mostAttempts = 5    // of one build; each attempt but the last ended with the death of its gateway
	maxDetail    = 2000 // bytes of the reason of a failed build; the build's log has the whole reason
)

var (
	errStopped      = errors.New("the gateway is shutting down")
	errBuildTimeout = errors.New("the build took too long")
)

// builds builds revisions in the background, a limited number at a time. It builds the revisions of one function in
// order.
type builds struct {
	gateway   faas.GatewayID
	builder   Builder
	readier   Readier
	gateways  Gateways
	catalog   *Catalog
	publisher *publisher
	objects   objects
	logs      logStore
	sources   Sources
	timeout   time.Duration
	log       *slog.Logger
	now       func() time.Time

	base context.Context //nolint:containedctx // parent of the builds, which go on when their caller hangs up
	stop context.CancelCauseFunc
	work sync.WaitGroup // the builds
	sem  chan struct{}  // has an element for each running build

	mu      sync.Mutex
	stopped bool
	byRef   map[faas.RevisionRef]*build
	last    map[faas.FunctionName]*build // the last build in the queue of each function
}

// enqueue builds a revision in the background, unless this gateway builds it already.
func (bs *builds) enqueue(rev *faas.Revision) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if bs.stopped || bs.byRef[rev.Ref()] != nil {
		return
	}
	b := newBuild(rev, bs.last[rev.Function])
	bs.byRef[rev.Ref()] = b
	bs.last[rev.Function] = b
	bs.work.Go(func() {
		bs.buildInTurn(bs.base, b)
		bs.remove(b)
	})
}

// remove ends a build on this gateway, after success and after failure.
func (bs *builds) remove(b *build) {
	b.log.end()
	bs.mu.Lock()
	delete(bs.byRef, b.rev.Ref())
	if bs.last[b.rev.Function] == b {
		delete(bs.last, b.rev.Function)
	}
	bs.mu.Unlock()
	b.before = nil
	b.pass()
	close(b.done)
}

func (bs *builds) find(ref faas.RevisionRef) *build {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return bs.byRef[ref]
}

// stopAll interrupts all builds and waits for their end. Another gateway builds them again.
func (bs *builds) stopAll() {
	bs.mu.Lock()
	bs.stopped = true
	bs.mu.Unlock()
	bs.stop(errStopped)
	bs.work.Wait()
}

// buildInTurn builds after the earlier builds of the function, and when the limit of builds allows it.
func (bs *builds) buildInTurn(ctx context.Context, b *build) {
	if b.before != nil {
		select {
		case <-b.before.passed:
		case <-ctx.Done():
			return
		}
	}
	select {
	case bs.sem <- struct{}{}:
		b.pass = sync.OnceFunc(func() { <-bs.sem; close(b.passed) })
		defer b.pass()
	case <-ctx.Done():
		return
	}
	err := bs.buildOne(ctx, b)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		bs.deleteClaim(ctx, b)
	default:
		bs.log.Error("finishing a build failed", "revision", b.rev.Ref().String(), "error", err)
	}
}

// deleteClaim deletes the claim of an interrupted build, so that another gateway can build it at once.
func (bs *builds) deleteClaim(ctx context.Context, b *build) {
	if b.attempt == 0 {
		return
	}
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	if err := bs.objects.delete(ctx, builderKey(b.rev.Ref(), b.attempt)); err != nil {
		bs.log.Info("releasing an interrupted build failed; it stays claimed until its gateway counts as dead", "revision", b.rev.Ref().String(), "error", err)
	}
}

// buildOne claims a build, builds the revision and writes the result. It retries while the store or the registry is
// unavailable.
func (bs *builds) buildOne(ctx context.Context, b *build) error {
	ref := b.rev.Ref()
	mine := false
	err := retry(ctx, bs.log, "claim the build of "+ref.String(), func() (err error) {
		mine, err = bs.claim(ctx, b)
		return err
	})
	if err != nil || !mine {
		return err
	}
	defer func() { b.release() }()
	if b.rev.State == faas.RevisionBuilding {
		bs.run(ctx, b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return retry(ctx, bs.log, "finish the build of "+ref.String(), func() error { return bs.finish(ctx, b) })
}

// claim claims a build for this gateway and reads the revision again, because another gateway may have finished the
// build.
func (bs *builds) claim(ctx context.Context, b *build) (mine bool, err error) {
	ids, err := bs.gateways.LiveGatewayIDs(ctx)
	if err != nil {
		return false, err
	}
	alive := func(id faas.GatewayID) bool { return slices.Contains(ids, id) }
	me := builder{Gateway: bs.gateway, At: bs.now().UTC()}
	b.attempt, err = bs.objects.claimBuild(ctx, b.rev.Ref(), me, alive)
	if err != nil || b.attempt == 0 {
		return false, err
	}
	stored, found, err := bs.objects.getRevision(ctx, b.rev.Ref())
	if err == nil && found {
		*b.rev = *stored
	}
	return err == nil, err
}

// run builds the image and starts the first runner. It sets the result in b.rev.
func (bs *builds) run(ctx context.Context, b *build) {
	b.ran = true
	ctx, cancel := context.WithTimeoutCause(ctx, bs.timeout, errBuildTimeout)
	defer cancel()
	uploading, stopUploading := context.WithCancel(ctx)
	var upload sync.WaitGroup
	upload.Go(func() { bs.logs.follow(uploading, b.rev.Ref(), b.log) })
	b.log.printf("revision %d of %s: build begins\n", b.rev.Number, b.rev.Function)
	began := bs.now()
	image, err := bs.buildImage(ctx, b)
	if err == nil {
		err = bs.startFirstRunner(ctx, b, image)
	}
	stopUploading()
	upload.Wait()
	if err != nil {
		b.rev.State, b.rev.Detail = faas.RevisionFailed, bs.failure(ctx, b, err)
		b.log.printf("failed: %s\n", b.rev.Detail)
		return
	}
	at := bs.now().UTC()
	b.rev.State, b.rev.Image, b.rev.ReadyAt = faas.RevisionReady, image, &at
	b.log.printf("ready after %s: %s\n", at.Sub(began).Round(time.Millisecond), image)
}

// buildImage returns the image of the revision. If the spec has no command, it sets the command of the image.
func (bs *builds) buildImage(ctx context.Context, b *build) (string, error) {
	if b.attempt > mostAttempts {
		return "", faas.Errorf(faas.BuildFailed, "the build was interrupted %d times", mostAttempts)
	}
	var source io.ReadCloser
	if b.rev.Spec.Image == "" {
		var err error
		if source, err = bs.sources.Open(ctx, b.rev); err != nil {
			return "", err
		}
		defer source.Close()
	}
	built, err := bs.builder.Build(ctx, b.rev, source, b.log)
	if err == nil && len(b.rev.Spec.Command) == 0 {
		b.rev.Spec.Command = built.Command
	}
	return built.Image, err
}

// startFirstRunner returns when a runner of the revision is parked, so that no call waits for a start once the revision
// is live. The next build does not wait for the runner.
func (bs *builds) startFirstRunner(ctx context.Context, b *build, image string) error {
	b.pass()
	next := *b.rev
	next.Image = image
	err := retry(ctx, bs.log, "start the first runner of "+next.Ref().String(), func() error {
		done, err := bs.readier.Ready(ctx, &next, b.log)
		if err == nil {
			b.release = done
		}
		return err
	})
	e, ok := errors.AsType[*faas.Error](err)
	if !ok || e.Kind != faas.BuildFailed {
		return err
	}
	if e.LogTail != "" {
		b.log.printf("the start process said last:\n%s\n", e.LogTail)
	}
	failed := *e
	failed.Detail += ". Register it again when that is mended"
	if live, err := bs.catalog.Live(next.Function); err == nil {
		failed.Detail += fmt.Sprintf("; until then revision %d stays live", live.Number)
	}
	return &failed
}

// failure returns the detail of a failed build for the user.
func (bs *builds) failure(ctx context.Context, b *build, err error) string {
	if errors.Is(context.Cause(ctx), errBuildTimeout) {
		return fmt.Sprintf("the build took longer than %s", faas.Duration(bs.timeout))
	}
	if e, ok := errors.AsType[*faas.Error](err); ok {
		return text.Clip(e.Detail, maxDetail)
	}
	bs.log.Error("build failed", "revision", b.rev.Ref().String(), "error", err)
	return "the build failed for a reason inside Davit; its log has more"
}

// finish writes the result of a build, to the object store first, and publishes the revision.
func (bs *builds) finish(ctx context.Context, b *build) error {
	ref := b.rev.Ref()
	if b.ran {
		if err := bs.logs.upload(ctx, ref, b.log); err != nil {
			return err
		}
	}
	if err := bs.objects.putRevision(ctx, b.rev); err != nil {
		return err
	}
	version, err := bs.publisher.publish(ctx, b.rev)
	if isNotFound(err) {
		bs.log.Info("a function was deleted during its build", "revision", ref.String())
		return bs.objects.deleteRevisions(ctx, ref.Function, ref.Number)
	}
	if err != nil {
		return err
	}
	bs.publisher.await(ctx, version)
	return bs.objects.deleteClaims(ctx, ref, b.attempt)
}
