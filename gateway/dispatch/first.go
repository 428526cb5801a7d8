package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// mostLost is how many runners may end before one has parked.
const mostLost = 3

// first waits for a revision's first runner. Dispatcher.mu guards it.
type first struct {
	ref    faas.RevisionRef
	others map[faas.RunnerID]bool // that were there before
	log    io.Writer
	ended  int // runners, before they parked
	cancel context.CancelCauseFunc
}

// Ready has a revision's first runner brought up where its mode keeps runners,
// and returns when that one has parked here: warm ones also when warm.min is 0.
// Until done is called they stay though the revision is not live; after that
// they go, unless it is. What a user wants to read is written to log, which
// must not block.
//
// The error is BuildFailed when no runner gets ready, with the start process's
// last words as LogTail, and Unavailable when that cannot be told now.
func (d *Dispatcher) Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (done func(), err error) {
	start, kept := keptStart(&rev.Spec)
	if !kept {
		return func() {}, nil
	}
	release := d.scaler.keep(rev)
	if err := d.awaitFirst(ctx, rev, start, log); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// runnersOf returns the runners of a revision that have dialled in.
func (d *Dispatcher) runnersOf(ref faas.RevisionRef) map[faas.RunnerID]bool {
	there := map[faas.RunnerID]bool{}
	for _, r := range d.hub.Runners() {
		if r.Hello.Ref() == ref {
			there[r.Hello.Runner] = true
		}
	}
	return there
}

// keptStart is how runners of a function are started that are there before calls are.
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

// awaitFirst claims a slot of the revision as a call would, and gives it back.
func (d *Dispatcher) awaitFirst(ctx context.Context, rev *faas.Revision, start faas.Start, log io.Writer) error {
	id, err := faas.NewInvocationID()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &first{ref: rev.Ref(), others: d.runnersOf(rev.Ref()), log: log, cancel: cancel}
	if !d.enterFirst(f) {
		return stopping()
	}
	defer d.leaveFirst(f)
	within := d.firstWithin(&rev.Spec)
	defer time.AfterFunc(within, func() { cancel(notInTime(&rev.Spec, within)) }).Stop()
	began := d.Now()
	_, _ = fmt.Fprintf(log, "starting the first runner\n")
	slot, err := d.hub.Claim(ctx, hub.Want{Ref: rev.Ref(), Invocation: id, Starts: []faas.Start{start}})
	switch {
	case err == nil:
		slot.Release()
		_, _ = fmt.Fprintf(log, "the first runner is ready after %s\n", d.Now().Sub(began).Round(time.Millisecond))
		return nil
	case errors.Is(context.Cause(ctx), errShutdown):
		return stopping()
	}
	return fmt.Errorf("wait for the first runner of %s: %w", rev.Ref(), context.Cause(ctx))
}

// firstWithin is how long a first runner may take: its own start process has timeout.
func (d *Dispatcher) firstWithin(spec *faas.FunctionSpec) time.Duration {
	if spec.Start == nil {
		return d.Limits.First
	}
	return d.Limits.First + spec.Timeout.Std()
}

func notInTime(spec *faas.FunctionSpec, within time.Duration) error {
	remedy := "the gateway's log tells what its runners do; DAVIT_RUNNER_PUBLIC must be an address that they reach"
	if spec.Start != nil {
		remedy = "see that its start process shows in time that it is ready, or raise timeout; if it does, " + remedy
	}
	return faas.Errorf(faas.BuildFailed, "no runner was ready within %s: %s", faas.Duration(within), remedy)
}

func stopping() error {
	return &faas.Error{Kind: faas.Unavailable, Detail: "this gateway is shutting down", RetryAfter: time.Second}
}

// enterFirst has f told of what happens to runners, unless the gateway is stopping.
func (d *Dispatcher) enterFirst(f *first) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return false
	}
	d.firsts[f] = true
	return true
}

func (d *Dispatcher) leaveFirst(f *first) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.firsts, f)
}

// lostFirst tells those who wait for a first runner of one that ended; d.mu is held.
func (d *Dispatcher) lostFirst(e *Exit) {
	for f := range d.firsts {
		f.lost(e)
	}
}

// lost takes note of a runner that ended. A start process that failed would fail
// again; other runners get another try.
func (f *first) lost(e *Exit) {
	if e.Ref != f.ref || e.Start == faas.StartJob || e.Reason == "" || f.others[e.Runner] {
		return
	}
	if e.Reason == faas.ReasonStartFailed {
		f.cancel(&faas.Error{
			Kind: faas.BuildFailed, LogTail: e.LogTail,
			Detail: "its start process failed: " + e.Detail + "; correct start.command, or what it runs",
		})
		return
	}
	f.again(e.Detail)
}

// again lets the scaler try once more, or ends the wait.
func (f *first) again(detail string) {
	if f.ended++; f.ended >= mostLost {
		f.cancel(faas.Errorf(faas.BuildFailed, "%d runners ended before they were ready, the last one so: %s; the gateway's log has more", f.ended, detail))
		return
	}
	_, _ = fmt.Fprintf(f.log, "a runner ended before it was ready: %s; starting another\n", detail)
}

// notLaunched tells those who wait for a revision's first runner that none could be started.
func (d *Dispatcher) notLaunched(ref faas.RevisionRef, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f := range d.firsts {
		switch {
		case f.ref != ref:
		case isAway(err):
			f.cancel(err)
		default:
			f.again(launchLoss(err).Detail)
		}
	}
}
