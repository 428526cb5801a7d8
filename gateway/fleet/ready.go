package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

var errShutdown = errors.New("the gateway is stopping")

// readier waits for the first runners of revisions.
type readier struct {
	queue    *queue
	demands  *demands
	backoffs *backoffs
	firsts   *firsts
	runners  Runners
	claimer  Claimer
	within   time.Duration // in which a first runner must park
	now      func() time.Time
}

// pin keeps one runner of a revision although it is not live, and forgets how earlier ones failed. After release the
// runner goes, unless the revision is live by then.
func (r *readier) pin(rev *faas.Revision) (release func()) {
	ref := rev.Ref()
	r.demands.add(rev, demand{pins: 1})
	r.backoffs.reset(ref)
	r.queue.touch(ref, false)
	return sync.OnceFunc(func() {
		r.demands.add(rev, demand{pins: -1})
		r.queue.touch(ref, true)
	})
}

// keptStart is how a function's runners are started that exist before calls do.
func keptStart(spec *faas.FunctionSpec) (start faas.Start, kept bool) {
	switch spec.LooseMode() {
	case faas.ModeWarm:
		return faas.StartWarm, true
	case faas.ModeStandby:
		return faas.StartStandby, spec.Standby.Min > 0
	case faas.ModeJob:
	}
	return "", false
}

// awaitFirst claims a slot of the revision as a call would, and releases it.
func (r *readier) awaitFirst(ctx context.Context, rev *faas.Revision, start faas.Start, log io.Writer) error {
	id, err := faas.NewInvocationID()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := &first{ref: rev.Ref(), others: r.runnersOf(rev.Ref()), log: log, cancel: cancel}
	if !r.firsts.enter(waiting) {
		return stopping()
	}
	defer r.firsts.leave(waiting)
	within := r.firstWithin(&rev.Spec)
	defer time.AfterFunc(within, func() { cancel(notInTime(&rev.Spec, within)) }).Stop()
	began := r.now()
	_, _ = fmt.Fprintf(log, "starting the first runner\n")
	slot, err := r.claimer.Claim(ctx, hub.Want{Ref: rev.Ref(), Invocation: id, Starts: []faas.Start{start}})
	switch {
	case err == nil:
		slot.Release()
		_, _ = fmt.Fprintf(log, "the first runner is ready after %s\n", r.now().Sub(began).Round(time.Millisecond))
		return nil
	case errors.Is(context.Cause(ctx), errShutdown):
		return stopping()
	}
	return fmt.Errorf("wait for the first runner of %s: %w", rev.Ref(), context.Cause(ctx))
}

// runnersOf returns the connected runners of a revision.
func (r *readier) runnersOf(ref faas.RevisionRef) map[faas.RunnerID]bool {
	there := map[faas.RunnerID]bool{}
	for _, one := range r.runners.Runners() {
		if one.Hello.Ref() == ref {
			there[one.Hello.Runner] = true
		}
	}
	return there
}

// firstWithin is how long a first runner may take; its start process may take the function's timeout besides.
func (r *readier) firstWithin(spec *faas.FunctionSpec) time.Duration {
	if spec.Start == nil {
		return r.within
	}
	return r.within + spec.Timeout.Std()
}

func notInTime(spec *faas.FunctionSpec, within time.Duration) error {
	remedy := "the gateway's log tells what its runners do; DAVIT_RUNNER_PUBLIC must be an address that they reach"
	if spec.Start != nil {
		remedy = "see that its start process shows in time that it is ready, or raise timeout; if it does, " + remedy
	}
	return faas.Errorf(faas.BuildFailed, "no runner was ready within %s: %s", faas.Duration(within), remedy)
}

func stopping() error {
	return faas.UnavailableError("this gateway is shutting down", time.Second, nil)
}
