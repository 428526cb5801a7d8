package fleet

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// shortCall is how long a call has the machine for itself before its standby runner is replaced.
const shortCall = 20 * time.Millisecond

// Ready starts a revision's first runner where its mode keeps runners, and returns when that runner has parked here; a
// warm one also when warm.min is 0. Until done is called the runner stays though the revision is not live; after that
// it goes, unless the revision is live. Progress is written to log, which must not block.
//
// The error is BuildFailed when no runner gets ready, with the start process's last words as LogTail, and Unavailable
// when a part of Davit is unavailable.
func (f *Fleet) Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (done func(), err error) {
	start, kept := keptStart(&rev.Spec)
	if !kept {
		return func() {}, nil
	}
	release := f.readier.pin(rev)
	if err := f.readier.awaitFirst(ctx, rev, start, log); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Note counts a call, because the depth of standby runners may follow the rate of calls.
func (f *Fleet) Note(rev *faas.Revision, mode faas.Mode) {
	if mode == faas.ModeStandby {
		f.depths.note(rev)
	}
}

// Wait adds a call that waits for a warm slot to the demand; done removes it.
func (f *Fleet) Wait(rev *faas.Revision) (done func()) {
	f.demands.add(rev, demand{waiting: 1})
	f.queue.touch(rev.Ref(), false)
	return func() { f.demands.add(rev, demand{waiting: -1}) }
}

// Cover counts a call that started a job because no standby was free: while it waits, one standby less is started. done
// ends that.
func (f *Fleet) Cover(rev *faas.Revision) (done func()) {
	f.demands.add(rev, demand{jobs: 1})
	return func() {
		f.demands.add(rev, demand{jobs: -1})
		f.queue.touch(rev.Ref(), false)
	}
}

// Joined notes that a runner has connected.
func (f *Fleet) Joined(hello task.Hello) {
	f.presence.joined(hello.Runner)
	f.queue.touch(hello.Ref(), false)
}

// Left notes that a runner's connections are gone.
func (f *Fleet) Left(hello task.Hello) {
	if hello.Start != faas.StartJob {
		f.presence.left(hello.Runner, f.o.Now())
	}
	f.queue.touch(hello.Ref(), false)
}

// Parked notes that a runner is ready for calls.
func (f *Fleet) Parked(hello task.Hello) {
	if hello.Start == faas.StartJob {
		return
	}
	if took, known := f.depths.filled(group{hello.Ref(), hello.Start}); known {
		f.o.Meter.Refilled(hello.Start, took)
	}
	f.queue.touch(hello.Ref(), false)
}

// Happened schedules a replacement for a standby runner that was just used, because its pod ends long after it is of no
// use. It waits shortCall first: starting a runner competes with the call for the processor, and a short call is done
// by then.
func (f *Fleet) Happened(runner faas.RunnerID, e task.Event) {
	if e.Invocation == "" || e.Kind != task.EventTaken && e.Kind != task.EventRunning && e.Kind != task.EventEnded {
		return
	}
	if hello, known := f.o.Drainer.Hello(runner); known && hello.Start == faas.StartStandby {
		time.AfterFunc(shortCall, func() { f.queue.touch(hello.Ref(), false) })
	}
}

// Exited notes that a runner has ended, delays further starts if it failed, and scales its revision. It reports whether
// the exit is news, and whether it is hopeless to wait for a warm runner of that revision: further ones would end like
// this one.
func (f *Fleet) Exited(e faas.Exit) (news, hopeless bool) {
	news = f.presence.exited(&e, f.o.Now())
	if !news {
		return false, false
	}
	if e.Reason == "" || e.Start == faas.StartJob {
		f.backoffs.reset(e.Ref)
	} else {
		f.backoffs.failed(e.Ref, f.o.Now())
	}
	f.queue.touch(e.Ref, false)
	if e.Start != faas.StartJob && !f.o.Runners.HasParked(e.Runner) {
		f.depths.failed(group{e.Ref, e.Start})
	}
	f.firsts.lost(&e)
	return true, f.isHopeless(&e)
}

// isHopeless reports whether calls would wait in vain for a warm runner: this one was never ready, the next would end
// the same way, and no other is there.
func (f *Fleet) isHopeless(e *faas.Exit) bool {
	if e.Start != faas.StartWarm {
		return false
	}
	switch e.Reason { //nolint:exhaustive // the other reasons may not occur again
	case faas.ReasonStartFailed:
		return !f.o.Runners.HasParked(e.Runner)
	case faas.ReasonImagePull, faas.ReasonUnschedulable:
		return f.o.Runners.Slots(e.Ref)[faas.StartWarm].Runners == 0
	}
	return false
}

// PublishExit publishes the end of a kept runner that did not end in order to the other gateways, in the background.
func (f *Fleet) PublishExit(e faas.Exit) { f.exits.exited(&e) }

// ReadExit reads what another gateway published. ok is false for messages of this gateway or another release, and for
// runners that could not be started: these have no exit, and registrations that wait for them are told here.
func (f *Fleet) ReadExit(line string) (e faas.Exit, ok bool) {
	var m exitMessage
	if json.Unmarshal([]byte(line), &m) != nil || m.Gateway == f.o.Gateway {
		return faas.Exit{}, false
	}
	ref := faas.RevisionRef{Function: m.Function, Number: m.Revision}
	if m.Runner == "" {
		f.firsts.notLaunched(ref, &faas.Error{Kind: m.Kind, Detail: m.Detail})
		return faas.Exit{}, false
	}
	return faas.Exit{Runner: m.Runner, Start: m.Start, Ref: ref, Reason: m.Reason, Detail: m.Detail, LogTail: m.LogTail}, true
}

// CapacityFreed scales the revisions again that the installation's limit had denied a runner.
func (f *Fleet) CapacityFreed() { f.queue.touchStarved() }

// DemandChanged makes the leader read the demand of the other gateways.
func (f *Fleet) DemandChanged() {
	if f.election.leads() {
		f.queue.setStale(true)
	}
}

// LeadFree tries to take the lead, because nobody has it.
func (f *Fleet) LeadFree() { f.queue.setStale(true) }
