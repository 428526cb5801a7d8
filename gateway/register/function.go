package register

import (
	"context"
	"fmt"
	"io"
	"time"

	"davit/internal/backoff"
	"davit/internal/faas"
)

// pollBuildEvery is how often WaitReady reads the state of a build on another gateway.
const pollBuildEvery = 250 * time.Millisecond

// WaitReady returns the revision once it is ready or failed, and after most in any state. This gateway serves a
// revision that is returned as ready; so does every other gateway, except one that needed more than 2 s.
func (s *Service) WaitReady(ctx context.Context, ref faas.RevisionRef, most time.Duration) (*faas.Revision, error) {
	wait, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if b := s.builds.find(ref); b != nil {
		select {
		case <-b.done:
		case <-wait.Done():
		}
	}
	for {
		rev, err := s.o.Revisions.FindRevision(ctx, ref)
		if err != nil {
			return nil, err
		}
		if rev.State != faas.RevisionBuilding {
			s.publisher.awaitNewest(ctx)
			return rev, nil
		}
		if wait.Err() != nil {
			return rev, nil
		}
		_ = backoff.Pause(wait, pollBuildEvery) // at its end the revision is read once more
	}
}

// BuildLog opens the build log of a revision. If follow is set, reads wait until the build ends, on whichever gateway
// it runs. Reads fail when ctx ends. The caller closes the log.
func (s *Service) BuildLog(ctx context.Context, ref faas.RevisionRef, follow bool) (io.ReadCloser, error) {
	if b := s.builds.find(ref); b != nil {
		return &logReader{ctx: ctx, log: b.log, follow: follow}, nil
	}
	if _, err := s.o.Revisions.FindRevision(ctx, ref); err != nil {
		return nil, err
	}
	return &storedLog{ctx: ctx, store: s.logs, ref: ref, follow: follow}, nil
}

// FunctionOf returns the function with that name, or else the function whose live revision was registered from that
// image; of several, the function whose revision became ready last. The error is NotFound if there is none.
func (s *Service) FunctionOf(ctx context.Context, nameOrImage string) (faas.FunctionName, error) {
	name := faas.FunctionName(nameOrImage)
	if name.Check() == "" {
		_, err := s.o.Functions.FindFunction(ctx, name)
		if err == nil {
			return name, nil
		}
		if !isNotFound(err) {
			return "", err
		}
	}
	var found *faas.Revision
	for _, rev := range s.o.Catalog.LiveRevisions() {
		if nameOrImage == "" || rev.Spec.Image != nameOrImage || rev.ReadyAt == nil {
			continue
		}
		if found == nil || rev.ReadyAt.After(*found.ReadyAt) {
			found = rev
		}
	}
	if found == nil {
		return "", faas.Errorf(faas.NotFound, "there is no function %q, and none from such an image; register it first", faas.Clip(nameOrImage))
	}
	return found.Function, nil
}

// DeleteFunction deletes a function with its revisions and stored sources. If the function has triggers, they are
// deleted too if withTriggers is set; otherwise the error is Conflict.
func (s *Service) DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) error {
	version, err := s.deletions.deleteFunction(ctx, name, withTriggers)
	if err != nil {
		return readable(fmt.Errorf("delete function %q: %w", name, err))
	}
	s.publisher.await(ctx, version)
	return nil
}
