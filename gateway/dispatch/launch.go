package dispatch

import (
	"context"
	"errors"
	"log/slog"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// launches starts runners for single calls, and stops those that turn out not to be needed.
type launches struct {
	launcher Launcher
	fleet    Fleet
	permits  *permits
	progress *progress
	work     *work
	log      *slog.Logger
}

// begin starts a runner for c as its mode demands. The caller must call the returned function when the wait ends, with
// the slot that c got or nil. cancel ends the wait when no runner can be started.
func (l *launches) begin(wait context.Context, c *call, cancel context.CancelCauseFunc) (over func(*hub.Slot)) {
	if c.mode() == faas.ModeWarm {
		done := l.fleet.Wait(c.rev)
		return func(*hub.Slot) { done() }
	}
	return l.startJob(wait, c, cancel)
}

// startJob launches a runner for c once its function has a free permit. The returned function stops that runner if c
// gave up; if c got another runner's slot instead, committing stops it later.
func (l *launches) startJob(wait context.Context, c *call, cancel context.CancelCauseFunc) (over func(*hub.Slot)) {
	launched, before := make(chan bool, 1), c.job.stopped
	l.work.Go(func() { launched <- l.launch(wait, c, before, cancel) })
	return func(slot *hub.Slot) {
		goesOn := slot != nil || errors.Is(context.Cause(wait), errBudget)
		cancel(nil)
		if <-launched {
			c.job.uncover()
			c.job.running.Store(true)
		}
		if !goesOn && c.job.running.Swap(false) {
			l.stopSoon(c)
		}
	}
}

// launch reports whether it asked the launcher for a runner.
func (l *launches) launch(wait context.Context, c *call, before <-chan struct{}, cancel context.CancelCauseFunc) bool {
	if before != nil {
		<-before
	}
	if err := l.permits.take(wait, c); err != nil {
		cancel(err)
		return false
	}
	l.progress.launched(c)
	c.job.uncover = func() {}
	if c.mode() == faas.ModeStandby {
		c.job.uncover = l.fleet.Cover(c.rev)
	}
	if err := l.launcher.Launch(wait, c.rev, c.id, c.task.Timeout.Std()); err != nil && wait.Err() == nil {
		cancel(launchError(err))
	}
	return true
}

// committing notes that c is about to run on a slot. The runner that was launched for c is not needed if the slot is
// another's.
func (l *launches) committing(c *call, slot *hub.Slot) {
	if slot.Runner().Invocation != c.id && c.job.running.Swap(false) {
		l.stopSoon(c)
	}
}

// stopSoon stops the runner of a call that goes on; another one is launched only after that.
func (l *launches) stopSoon(c *call) {
	done := make(chan struct{})
	c.job.stopped = done
	l.work.start(func(ctx context.Context) {
		defer close(done)
		l.stop(ctx, c)
	})
}

// dismiss stops the runner that was launched for c, because the call is over without it.
func (l *launches) dismiss(c *call) {
	if c.job.running.Swap(false) {
		l.work.start(func(ctx context.Context) { l.stop(ctx, c) })
	}
}

func (l *launches) stop(ctx context.Context, c *call) {
	if err := l.launcher.Stop(context.WithoutCancel(ctx), c.id); err != nil {
		l.log.Warn("stopping a runner that is not needed failed", "invocation", c.id, "error", err)
	}
	l.permits.free(c.id)
}
