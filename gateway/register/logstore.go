package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"davit/internal/backoff"
	"davit/internal/blob"
	"davit/internal/every"
	"davit/internal/faas"
)

const (
	uploadLogEvery = 2 * time.Second        // while a build runs
	pollLogEvery   = 500 * time.Millisecond // of a build on another gateway
	logMediaType   = "text/plain; charset=utf-8"
)

// logStore keeps build logs in the object store, where other gateways read them.
type logStore struct {
	objects   Objects
	revisions RevisionStore
}

// follow uploads a log every 2 s if it has grown, until ctx ends.
func (s logStore) follow(ctx context.Context, ref faas.RevisionRef, log *buildLog) {
	uploaded := 0
	every.Interval(ctx, uploadLogEvery, func(ctx context.Context) {
		size := log.size()
		if size == uploaded {
			return
		}
		if err := s.upload(ctx, ref, log); err == nil { // an error does no harm, because the whole log is uploaded at the end
			uploaded = size
		}
	})
}

func (s logStore) upload(ctx context.Context, ref faas.RevisionRef, log *buildLog) error {
	text, _, _ := log.from(0)
	if _, err := s.objects.Put(ctx, revisionKey(ref, logObject), bytes.NewReader(text), int64(len(text)), blob.PutOptions{ContentType: logMediaType}); err != nil {
		return fmt.Errorf("store the build log of %s: %w", ref, err)
	}
	return nil
}

// storedLog reads a log from the object store. A build on another gateway uploads it while it runs.
type storedLog struct {
	ctx    context.Context //nolint:containedctx // of the request that reads
	store  logStore
	ref    faas.RevisionRef
	at     int64
	follow bool // read on until the build ends
	ended  bool // the build had ended before part was opened
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

// next closes a part that was read to its end. It returns io.EOF after the last part.
func (r *storedLog) next(err error) error {
	_ = r.Close()
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case r.ended || !r.follow:
		return io.EOF
	}
	return backoff.Pause(r.ctx, pollLogEvery)
}

// open opens the rest of the log. It reads the state of the build first, so that the log is complete if the build has
// ended.
func (r *storedLog) open() error {
	rev, err := r.store.revisions.FindRevision(r.ctx, r.ref)
	if err != nil && !isNotFound(err) {
		return err
	}
	r.ended = err != nil || rev.State != faas.RevisionBuilding
	r.part, _, err = r.store.objects.Get(r.ctx, revisionKey(r.ref, logObject), r.at, -1)
	if errors.Is(err, blob.ErrNotFound) {
		r.part = io.NopCloser(bytes.NewReader(nil))
		return nil
	}
	return readable(err)
}

func (r *storedLog) Close() error {
	if r.part != nil {
		_ = r.part.Close()
		r.part = nil
	}
	return nil
}
