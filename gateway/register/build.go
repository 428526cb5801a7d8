package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/text"
)

const (
	maxDetail = 2000 // bytes of why a build failed; its log has all
)

// enqueue builds a revision in the background, once.
func (s *Service) enqueue(rev *faas.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.builds[rev.Ref()] != nil {
		return
	}
	own := *rev
	b := &build{
		rev: &own, log: newBuildLog(), after: s.tails[rev.Function],
		passed: make(chan struct{}), done: make(chan struct{}), release: func() {},
	}
	b.pass = sync.OnceFunc(func() { close(b.passed) })
	s.builds[rev.Ref()] = b
	s.tails[rev.Function] = b
	s.work.Go(func() {
		s.inTurn(s.base, b)
		s.leave(b)
	})
}

// leave ends a build's life on this gateway.
func (s *Service) leave(b *build) {
	b.log.end()
	s.mu.Lock()
	delete(s.builds, b.rev.Ref())
	if s.tails[b.rev.Function] == b {
		delete(s.tails, b.rev.Function)
	}
	s.mu.Unlock()
	b.after = nil
	b.pass()
	close(b.done)
}

// inTurn builds when those before it have been built and there is room.
func (s *Service) inTurn(ctx context.Context, b *build) {
	if b.after != nil {
		select {
		case <-b.after.passed:
		case <-ctx.Done():
			return
		}
	}
	select {
	case s.places <- struct{}{}:
		b.pass = sync.OnceFunc(func() { <-s.places; close(b.passed) })
		defer b.pass()
	case <-ctx.Done():
		return
	}
	err := s.buildOne(ctx, b)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		s.disown(ctx, b)
	default:
		s.o.Log.Error("a build could not be brought to an end", "revision", b.rev.Ref().String(), "error", err)
	}
}

// disown lets another gateway do an interrupted build at once.
func (s *Service) disown(ctx context.Context, b *build) {
	if b.attempt == 0 {
		return
	}
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	if err := s.copies.delete(ctx, builderKey(b.rev.Ref(), b.attempt)); err != nil {
		s.o.Log.Info("an interrupted build waits for its gateway to count as dead", "revision", b.rev.Ref().String(), "error", err)
	}
}

// buildOne claims a build, does it, and writes what came of it. It goes on
// trying while store or registry are away.
func (s *Service) buildOne(ctx context.Context, b *build) error {
	ref := b.rev.Ref()
	mine := false
	err := s.retry(ctx, "claim the build of "+ref.String(), func() (err error) {
		mine, err = s.claim(ctx, b)
		return err
	})
	if err != nil || !mine {
		return err
	}
	defer func() { b.release() }()
	if b.rev.State == faas.RevisionBuilding {
		s.run(ctx, b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return s.retry(ctx, "finish the build of "+ref.String(), func() error { return s.finish(ctx, b) })
}

// claim makes the build this gateway's own. One that somebody finished in the
// meantime comes back as what it is by now.
func (s *Service) claim(ctx context.Context, b *build) (mine bool, err error) {
	alive, err := s.o.Gateways.LiveGatewayIDs(ctx)
	if err != nil {
		return false, err
	}
	lives := func(id faas.GatewayID) bool { return slices.Contains(alive, id) }
	me := builder{Gateway: s.o.Gateway, At: s.o.Now().UTC()}
	b.attempt, err = s.copies.claimBuild(ctx, b.rev.Ref(), me, lives)
	if err != nil || b.attempt == 0 {
		return false, err
	}
	stored, found, err := s.copies.getRevision(ctx, b.rev.Ref())
	if err == nil && found {
		*b.rev = *stored
	}
	return err == nil, err
}

// run does the build and notes in b.rev what came of it.
func (s *Service) run(ctx context.Context, b *build) {
	b.ran = true
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.BuildTimeout, errBuildTimeout)
	defer cancel()
	telling, stopTelling := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.tell(telling, b)
	}()
	b.log.printf("revision %d of %s: build begins\n", b.rev.Number, b.rev.Function)
	began := s.o.Now()
	image, err := s.image(ctx, b)
	if err == nil {
		err = s.bringUp(ctx, b, image)
	}
	stopTelling()
	<-told
	if err != nil {
		b.rev.State, b.rev.Detail = faas.RevisionFailed, s.buildFault(ctx, b, err)
		b.log.printf("failed: %s\n", b.rev.Detail)
		return
	}
	at := s.o.Now().UTC()
	b.rev.State, b.rev.Image, b.rev.ReadyAt = faas.RevisionReady, image, &at
	b.log.printf("ready after %s: %s\n", at.Sub(began).Round(time.Millisecond), image)
}

var errBuildTimeout = errors.New("the build took too long")

// image builds, and notes the command that the image brings.
func (s *Service) image(ctx context.Context, b *build) (string, error) {
	if b.attempt > mostAttempts {
		return "", faas.Errorf(faas.BuildFailed, "the build was interrupted %d times", mostAttempts)
	}
	var source io.ReadCloser
	if b.rev.Spec.Image == "" {
		var err error
		if source, err = (Sources{s.o.Objects}).Open(ctx, b.rev); err != nil {
			return "", err
		}
		defer source.Close() //nolint:errcheck // only read
	}
	built, err := s.o.Builder.Build(ctx, b.rev, source, b.log)
	if err == nil && len(b.rev.Spec.Command) == 0 {
		b.rev.Spec.Command = built.Command
	}
	return built.Image, err
}

// buildFault is what a user reads about a failed build.
func (s *Service) buildFault(ctx context.Context, b *build, err error) string {
	if errors.Is(context.Cause(ctx), errBuildTimeout) {
		return fmt.Sprintf("the build took longer than %s", faas.Duration(s.o.BuildTimeout))
	}
	var e *faas.Error
	if errors.As(err, &e) {
		return text.Clip(e.Detail, maxDetail)
	}
	s.o.Log.Error("build failed", "revision", b.rev.Ref().String(), "error", err)
	return "the build failed for a reason inside Davit; its log has more"
}

// finish writes the result of a build, the store first, and switches over.
func (s *Service) finish(ctx context.Context, b *build) error {
	ref := b.rev.Ref()
	if b.ran {
		if err := s.tellOnce(ctx, b); err != nil {
			return err
		}
	}
	if err := s.copies.putRevision(ctx, b.rev); err != nil {
		return err
	}
	version, err := s.publish(ctx, b.rev)
	if isNotFound(err) {
		s.o.Log.Info("a function was deleted while it was built", "revision", ref.String())
		return s.copies.deleteRevisions(ctx, ref.Function, ref.Number)
	}
	if err != nil {
		return err
	}
	s.applied(ctx, version)
	return s.copies.disownBuild(ctx, ref, b.attempt)
}
