package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

const (
	mostAttempts = 5               // of one build, each by a gateway that died in it
	tellEvery    = 2 * time.Second // a build's log so far goes to the store
)

func (s *Service) findBuild(ref faas.RevisionRef) *build {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.builds[ref]
}

const (
	followEvery  = 500 * time.Millisecond // a build on another gateway
	logMediaType = "text/plain; charset=utf-8"
)

// tell brings the log so far to the store now and then, for other gateways, until ctx ends.
func (s *Service) tell(ctx context.Context, b *build) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	told := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		size := b.log.size()
		if size == told {
			continue
		}
		if err := s.tellOnce(ctx, b); err == nil { // the whole log follows at the end
			told = size
		}
	}
}

func (s *Service) tellOnce(ctx context.Context, b *build) error {
	text, _, _ := b.log.from(0)
	key := revisionKey(b.rev.Ref(), logObject)
	if _, err := s.o.Objects.Put(ctx, key, bytes.NewReader(text), int64(len(text)), blob.PutOptions{ContentType: logMediaType}); err != nil {
		return fmt.Errorf("store the build log of %s: %w", b.rev.Ref(), err)
	}
	return nil
}

// BuildLog reads a revision's build log; with follow it goes on to the end of
// the build, on whichever gateway that is. Reads end when ctx does. Close it.
func (s *Service) BuildLog(ctx context.Context, ref faas.RevisionRef, follow bool) (io.ReadCloser, error) {
	if b := s.findBuild(ref); b != nil {
		return &logReader{ctx: ctx, log: b.log, follow: follow}, nil
	}
	if _, err := s.o.Revisions.FindRevision(ctx, ref); err != nil {
		return nil, err
	}
	return &storedLog{ctx: ctx, s: s, ref: ref, follow: follow}, nil
}

// storedLog reads a log from the store, where a build on another gateway puts it now and then.
type storedLog struct {
	ctx    context.Context //nolint:containedctx // of the one request that reads
	s      *Service
	ref    faas.RevisionRef
	at     int64
	follow bool
	over   bool // the build was over before the store was last asked
	part   io.ReadCloser
}

func (r *storedLog) Read(b []byte) (int, error) {
	for {
		if r.part == nil {
			if err := r.open(); err != nil {
				return 0, err
			}
		}
		n, err := r.part.Read(b)
		r.at += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		if err := r.next(err); err != nil {
			return 0, err
		}
	}
}

// next is called at the end of a part: it returns io.EOF when that was the last.
func (r *storedLog) next(err error) error {
	r.drop()
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case r.over || !r.follow:
		return io.EOF
	}
	return r.pause()
}

// open asks whether the build is over, and then for what is new.
func (r *storedLog) open() error {
	rev, err := r.s.o.Revisions.FindRevision(r.ctx, r.ref)
	if err != nil && !isNotFound(err) {
		return err
	}
	r.over = err != nil || rev.State != faas.RevisionBuilding
	r.part, _, err = r.s.o.Objects.Get(r.ctx, revisionKey(r.ref, logObject), r.at, -1)
	if errors.Is(err, blob.ErrNotFound) {
		r.part = io.NopCloser(bytes.NewReader(nil))
		return nil
	}
	return away(err)
}

func (r *storedLog) pause() error {
	select {
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-time.After(followEvery):
		return nil
	}
}

func (r *storedLog) drop() {
	if r.part != nil {
		_ = r.part.Close()
		r.part = nil
	}
}

func (r *storedLog) Close() error {
	r.drop()
	return nil
}
