// Package observer passes on what happens to runners: what the hub reports of their connections and events, and what
// launchers report of their ends, goes to the launcher, the fleet, the calls that are led here, and recovery. It
// decides nothing.
package observer

import (
	"log/slog"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
)

// Launcher is told which of its runners have connected.
type Launcher interface {
	Joined(runner faas.RunnerID)
}

// Fleet decides how many runners there are. Package fleet says what each method promises.
type Fleet interface {
	Joined(hello task.Hello)
	Left(hello task.Hello)
	Parked(hello task.Hello)
	Happened(runner faas.RunnerID, e task.Event)
}

// Exits counts the ends of runners and carries them between gateways. Package fleet says what each method promises.
type Exits interface {
	Exited(e faas.Exit) (news, hopeless bool)
	PublishExit(e faas.Exit)
	ReadExit(line string) (e faas.Exit, ok bool)
}

// Calls are the calls that this gateway leads. Package dispatch says what each method promises.
type Calls interface {
	Owned(h *task.Owned) (ours bool)
	Left(owned []faas.InvocationID)
	Happened(runner faas.RunnerID, e task.Event) (ours bool)
	Exited(e faas.Exit, hopeless bool)
}

// Recovery gets what is reported of invocations that other gateways lead.
type Recovery interface {
	Owned(runner faas.RunnerID, h *task.Owned)
	Left(owned []faas.InvocationID)
	Happened(runner faas.RunnerID, e task.Event)
}

// Runners lists the connected runners.
type Runners interface {
	Runners() []hub.Status
}

// Observer is a hub.Observer. Its methods run in the goroutine of the runner that they are about, and must not wait for
// it.
type Observer struct {
	Launcher Launcher
	Fleet    Fleet
	Exits    Exits
	Calls    Calls
	Recovery Recovery
	Runners  Runners
	Log      *slog.Logger
}

// Joined takes over what a runner that has connected reports of the invocations that it owns.
func (o *Observer) Joined(hello task.Hello) {
	o.Launcher.Joined(hello.Runner)
	o.Fleet.Joined(hello)
	for i := range hello.Owned {
		if held := &hello.Owned[i]; !o.Calls.Owned(held) {
			o.Recovery.Owned(hello.Runner, held)
			o.Calls.Owned(held) // it may have been adopted meanwhile
		}
	}
}

// Left notes that a runner's connections are gone.
func (o *Observer) Left(hello task.Hello, owned []faas.InvocationID) {
	o.Fleet.Left(hello)
	o.Calls.Left(owned)
	o.Recovery.Left(owned)
}

// Parked notes that a runner is ready for calls.
func (o *Observer) Parked(hello task.Hello) { o.Fleet.Parked(hello) }

// Happened passes on an event of a runner.
func (o *Observer) Happened(runner faas.RunnerID, e task.Event) {
	if e.Kind == task.EventStartFailed {
		o.startFailed(runner, e)
		return
	}
	if e.Invocation == "" {
		return
	}
	o.Fleet.Happened(runner, e)
	if !o.Calls.Happened(runner, e) {
		o.Recovery.Happened(runner, e)
		o.Calls.Happened(runner, e) // the invocation may have been adopted meanwhile
	}
}

// startFailed treats a runner whose start process failed as ended: it takes no calls.
func (o *Observer) startFailed(runner faas.RunnerID, e task.Event) {
	o.Log.Warn("a function's start process failed", "runner", runner, "detail", e.Detail)
	for _, status := range o.Runners.Runners() {
		if status.Hello.Runner == runner {
			o.Exited(faas.Exit{
				Runner: runner, Invocation: status.Hello.Invocation, Start: status.Hello.Start, Ref: status.Hello.Ref(),
				Reason: faas.ReasonStartFailed, Detail: e.Detail, LogTail: e.LogTail,
			})
		}
	}
}

// Exited passes on that a runner has ended, and publishes it to the other gateways if it is news.
func (o *Observer) Exited(e faas.Exit) {
	if o.exited(e) {
		o.Exits.PublishExit(e)
	}
}

// ExitPublished passes on the end of a runner that another gateway published.
func (o *Observer) ExitPublished(line string) {
	if e, ok := o.Exits.ReadExit(line); ok {
		o.exited(e)
	}
}

func (o *Observer) exited(e faas.Exit) (news bool) {
	news, hopeless := o.Exits.Exited(e)
	o.Calls.Exited(e, hopeless)
	return news
}
