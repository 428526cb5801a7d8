package register_test

import (
	"context"
	"io"
	"maps"
	"sync"

	"davit/internal/faas"
)

// fakeReadier has a runner ready at once, or when hold is closed, and counts the runners that are not released.
type fakeReadier struct {
	mu    sync.Mutex
	fails map[faas.RevisionNumber][]error       // returned one after the other before Ready succeeds
	hold  map[faas.RevisionNumber]chan struct{} // Ready waits until it is closed
	asked []faas.RevisionRef
	kept  map[faas.RevisionRef]int
	done  func(ref faas.RevisionRef) // called before a runner is released
}

func (f *fakeReadier) Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (func(), error) {
	ref := rev.Ref()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, ref)
	_, _ = io.WriteString(log, "starting one of "+rev.Image+"\n")
	if errs := f.fails[ref.Number]; len(errs) > 0 {
		f.fails[ref.Number] = errs[1:]
		return nil, errs[0]
	}
	if hold := f.hold[ref.Number]; hold != nil {
		f.mu.Unlock()
		select {
		case <-hold:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if f.kept == nil {
		f.kept = map[faas.RevisionRef]int{}
	}
	f.kept[ref]++
	return func() { f.release(ref) }, nil
}

func (f *fakeReadier) release(ref faas.RevisionRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done != nil {
		f.done(ref)
	}
	if f.kept[ref]--; f.kept[ref] == 0 {
		delete(f.kept, ref)
	}
}

func (f *fakeReadier) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fakeReadier) keeps() map[faas.RevisionRef]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.kept)
}
