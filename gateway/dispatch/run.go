package dispatch

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// New returns a Dispatcher that is ready for calls; Run must run beside it.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		gateway: o.Gateway, catalog: o.Catalog, running: o.Running, records: o.Records, publisher: o.Publisher, meter: o.Meter,
		limits: o.Limits, log: o.Log, now: o.Now,
		work: newWork(), calls: newCalls(), waiting: newWaiting(o.CallMeter.Queued),
	}
	d.recorder = newRecorder(&o, d.calls)
	d.permits = newPermits(&o, &d.calls.changed)
	d.progress = &progress{recorder: d.recorder, meter: o.Meter, now: o.Now}
	d.launches = &launches{launcher: o.Launcher, fleet: o.Fleet, permits: d.permits, progress: d.progress, work: d.work, log: o.Log}
	d.settler = &settler{
		calls: d.calls, recorder: d.recorder, permits: d.permits, launches: d.launches, progress: d.progress, meter: o.Meter, now: o.Now,
	}
	d.resolver = &resolver{settler: d.settler, objects: o.Objects, running: o.Running, log: o.Log, now: o.Now}
	d.opener = &opener{gateway: o.Gateway, catalog: o.Catalog, calls: d.calls, work: d.work, limits: o.Limits, now: o.Now}
	d.tasks = &tasks{signer: o.Signer, progress: d.progress, grace: o.Limits.Grace}
	d.claimer = &claimer{
		slots: o.Slots, fleet: o.Fleet, waiting: d.waiting, launches: d.launches, recorder: d.recorder, progress: d.progress,
		meter: o.CallMeter, work: d.work, now: o.Now,
	}
	d.acceptor = &acceptor{
		queue: o.Queue, objects: o.Objects, running: o.Running, meter: o.CallMeter, lease: o.Limits.Lease, now: o.Now,
	}
	d.driver = &driver{
		claimer: d.claimer, tasks: d.tasks, launches: d.launches, queue: o.Queue, records: o.Records, running: o.Running,
		settler: d.settler, resolver: d.resolver, progress: d.progress, log: o.Log,
	}
	d.leases = &leases{
		gateway: o.Gateway, store: o.Leases, calls: d.calls, permits: d.permits, settler: d.settler, lease: o.Limits.Lease, log: o.Log, now: o.Now,
	}
	d.canceller = &canceller{running: o.Running, work: d.work, log: o.Log}
	return d
}

// Run does the work that no caller waits for, until ctx ends. It returns when all of it is done and every record is
// written that Redis takes.
func (d *Dispatcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.recorder.Run(ctx, d.settler.yield) })
	g.Go(func() error { return d.permits.Run(ctx) })
	g.Go(func() error { return d.leases.Run(ctx) })
	err := g.Wait()
	d.work.stop(errShutdown)
	d.work.Wait()
	d.recorder.flush(context.WithoutCancel(ctx), d.settler.yield)
	d.recorder.acknowledge(context.WithoutCancel(ctx))
	return err
}
