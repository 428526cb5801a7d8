package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/gateway/hub"
	"davit/internal/blob"
	"davit/internal/faas"
)

// Options are the parts that a Dispatcher works with. All are required.
type Options struct {
	Gateway  faas.GatewayID
	Records  Records
	Archive  Archive
	Queue    Queue
	Places   Places
	Gateways Gateways
	Leader   Leader
	Launcher Launcher
	Shared   bool // the launchers of all gateways have the same runners
	Catalog  Catalog
	Objects  blob.Store
	Signer   blob.Signer
	Meter    Meter
	Logger   *slog.Logger
	Now      func() time.Time
	Limits   Limits
}

// Limits are settings of the whole installation.
type Limits struct {
	MaxLog    faas.Bytes    // of one invocation
	MaxResult faas.Bytes    // of one invocation
	Grace     time.Duration // how long a runner may be out of touch before it counts as lost
	Lease     time.Duration // how long an accepted invocation waits for a gateway that died
	Drain     time.Duration // how long a stopping gateway waits for running calls
	PartBytes faas.Bytes    // of an upload that is too large for one PUT; 0: 64 MiB
	Runners   int           // of all functions at once, on all gateways; 0: any number
	First     time.Duration // how long a revision's first runner may take to park, its start process not counted; 0: 1 min
}

// Dispatcher runs invocations. Its methods may be used by many goroutines at once.
type Dispatcher struct {
	Options
	hub      *hub.Hub
	recorder *recorder
	scaler   *scaler

	base context.Context //nolint:containedctx // the life of work that no caller waits for
	stop context.CancelCauseFunc
	work sync.WaitGroup // background work below base

	mu       sync.Mutex
	stopping bool
	calls    map[faas.InvocationID]*call    // led here and not done with
	foreign  map[faas.InvocationID]*foreign // held by connected runners, led elsewhere
	lanes    map[faas.FunctionName]int      // calls that wait for a slot
	places   map[faas.InvocationID]place    // held in the job semaphore
	freed    map[faas.InvocationID]place    // to be given back
	free     chan struct{}                  // there is something to give back
	heard    chan struct{}                  // closed and replaced when something settles
	firsts   map[*first]bool                // runners that revisions wait for to become live
}

// New returns a Dispatcher that is ready for calls once Attach gave it its hub; Run must run beside it.
func New(o Options) *Dispatcher {
	if o.Limits.First <= 0 {
		o.Limits.First = time.Minute
	}
	d := &Dispatcher{
		Options: o,
		calls:   make(map[faas.InvocationID]*call),
		foreign: make(map[faas.InvocationID]*foreign),
		lanes:   make(map[faas.FunctionName]int),
		places:  make(map[faas.InvocationID]place),
		freed:   make(map[faas.InvocationID]place),
		free:    make(chan struct{}, 1),
		heard:   make(chan struct{}),
		firsts:  make(map[*first]bool),
	}
	d.base, d.stop = context.WithCancelCause(context.Background())
	d.recorder = newRecorder(d)
	d.scaler = newScaler(d)
	return d
}

// Attach gives the dispatcher the hub that reports to it. It must be called once, before Run and Call.
func (d *Dispatcher) Attach(h *hub.Hub) { d.hub = h }

// Run does the work that no caller waits for, until ctx ends. It returns when all of it is done.
func (d *Dispatcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.recorder.Run(ctx) })
	g.Go(func() error { return d.scaler.Run(ctx) })
	g.Go(func() error { return d.runLeases(ctx) })
	g.Go(func() error { return d.runPlaces(ctx) })
	g.Go(func() error { return d.runAdoption(ctx) })
	g.Go(func() error { return d.runSweep(ctx) })
	err := g.Wait()
	d.stop(errShutdown)
	d.work.Wait()
	d.recorder.flush(context.WithoutCancel(ctx))
	d.recorder.tell(context.WithoutCancel(ctx))
	return err
}

// InFlight counts the invocations that this gateway leads, in all states but final.
func (d *Dispatcher) InFlight() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.calls {
		if !c.isFinal() {
			n++
		}
	}
	return n
}

// Leads reports whether this gateway leads an invocation.
func (d *Dispatcher) Leads(id faas.InvocationID) bool { return d.find(id) != nil }

// Slots returns the slots of a revision by how they were started, with those of
// runners that this gateway's launcher has started and that have not dialled in.
func (d *Dispatcher) Slots(ref faas.RevisionRef) map[faas.Start]hub.Counts {
	all := d.hub.Slots(ref)
	for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
		silent := d.Launcher.Running(ref, start)
		for _, runner := range d.hub.Connected(ref, start) {
			if d.Launcher.Counts(runner) {
				silent--
			}
		}
		if c := all[start]; silent > 0 {
			c.Starting += silent * d.slotsEach(ref, start)
			all[start] = c
		}
	}
	return all
}

func (d *Dispatcher) find(id faas.InvocationID) *call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[id]
}

func (d *Dispatcher) add(c *call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[c.id] = c
	delete(d.foreign, c.id)
}

func (d *Dispatcher) forget(c *call) {
	c.cancel(errEnded) // else d.base would hold it
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calls[c.id] == c {
		delete(d.calls, c.id)
	}
}

// background runs f until it returns; Run waits for it.
func (d *Dispatcher) background(f func(ctx context.Context)) {
	d.work.Go(func() { f(d.base) })
}

// Starting counts the slots of the live revisions' kept runners that are being started.
func (d *Dispatcher) Starting() int {
	n := 0
	for _, rev := range d.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			for _, c := range d.Slots(rev.Ref()) {
				n += c.Starting
			}
		}
	}
	return n
}

// slotsEach is how many slots a runner of a live revision has.
func (d *Dispatcher) slotsEach(ref faas.RevisionRef, start faas.Start) int {
	live, err := d.Catalog.Live(ref.Function)
	if err != nil || live.Ref() != ref || live.Spec.Warm == nil || start != faas.StartWarm {
		return 1
	}
	return max(live.Spec.Warm.Concurrency, 1)
}
