package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
	"davit/runner/result"
	"davit/runner/transfer"
	"davit/runner/workspace"
)

// ErrBusy says that the worker takes no call now: no slot is free, it drains, it
// holds that invocation already, or it was launched for another. Nothing was taken.
var ErrBusy = errors.New("no free slot")

const (
	cleaningWait = 500 * time.Millisecond // that Take waits for a slot that is being cleaned
	slotsEvery   = 5 * time.Second        // an event tells the free slots
	reapEvery    = time.Second
)

// Options are what a Worker needs beside its launch.
type Options struct {
	Log   *slog.Logger     // nil: discarded
	HTTP  *http.Client     // for the signed URLs; nil: one with sensible timeouts
	Now   func() time.Time // nil: time.Now
	Grace time.Duration    // between SIGTERM and SIGKILL; 0: 10 s
	Path  string           // PATH of the commands; "": a standard one

	Parts  Parts // for objects that are too large for one PUT; nil: none is
	OnePut int64 // bytes of an object that one PUT takes; 0: 5 GiB
	Behind Behind
}

// Worker has the slots of one runner. Its methods may be called at the same time.
type Worker struct {
	launch  task.Launch
	log     *slog.Logger
	now     func() time.Time
	client  *transfer.Client
	parts   Parts
	onePut  int64
	backlog *backlog
	host    *command.Host
	zipper  *result.Zipper
	source  *workspace.Source
	common  *workspace.Common
	base    []string // of every environment
	limit   int64    // of arguments and environment
	scratch string
	shared  string
	starter *starter

	life    context.Context //nolint:containedctx // of what goes on in the background, until Close
	end     context.CancelFunc
	tasks   sync.WaitGroup
	uploads chan struct{} // a token for each upload at a time

	mu       sync.Mutex
	slots    []*slot // free ones
	cleaning int
	cleaned  chan struct{} // closed when a slot was cleaned; nil: nobody waits
	calls    map[faas.InvocationID]*Call
	accepted int // in all its life
	draining bool
	closed   bool

	commonUsed bool // since the common folders were cleaned

	feed     feed
	done     chan struct{}
	doneOnce sync.Once
}

// slot is room for one call.
type slot struct {
	room   *workspace.Room
	places []string // the variables that name its folders
}

// New makes the folders below launch.Dir and starts the start process, if there
// is one. Calls may be taken at once: they wait until the start process is ready.
func New(launch task.Launch, o Options) (*Worker, error) {
	w := &Worker{
		launch: launch, log: o.Log, now: o.Now, client: &transfer.Client{HTTP: o.HTTP}, zipper: result.NewZipper(),
		base: argv.Base(launch.Env, o.Path), limit: argv.Limit(), uploads: make(chan struct{}, 4),
		calls: map[faas.InvocationID]*Call{}, done: make(chan struct{}), common: workspace.NewCommon(launch.Common),
		parts: o.Parts, onePut: cmp.Or(o.OnePut, onePutBytes), backlog: newBacklog(o.Behind),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.now == nil {
		w.now = time.Now
	}
	if o.HTTP == nil {
		w.client = transfer.New()
	}
	w.life, w.end = context.WithCancel(context.Background())
	if err := w.open(o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.starter.begin()
	w.tasks.Go(w.keepHouse)
	if age := launch.MaxAge.Std(); age > 0 {
		w.tasks.Go(func() { w.drainAfter(age) })
	}
	return w, nil
}

// open makes folders, rooms and the host.
func (w *Worker) open(o Options) (err error) {
	dir, err := filepath.Abs(w.launch.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	w.launch.Dir = dir
	w.scratch, w.shared = filepath.Join(dir, "scratch"), filepath.Join(dir, "shared")
	for _, made := range []string{w.scratch, w.shared, filepath.Join(dir, "slots")} {
		if err := os.MkdirAll(made, 0o700); err != nil {
			return fmt.Errorf("open worker: %w", err)
		}
	}
	if w.source, err = workspace.OpenSource(w.launch.SourceDir); err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	if w.host, err = command.NewHost(command.Options{Memory: int64(w.launch.Memory), Grace: o.Grace, Now: w.now}); err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	for i := range max(w.launch.Slots, 1) {
		s, err := w.newSlot(filepath.Join(dir, "slots", fmt.Sprint(i)))
		if err != nil {
			return err
		}
		w.slots = append(w.slots, s)
	}
	return w.newStarter()
}

func (w *Worker) newSlot(dir string) (*slot, error) {
	room, err := workspace.New(dir, w.source)
	if err != nil {
		return nil, fmt.Errorf("open worker: %w", err)
	}
	places := argv.Places{Home: room.Home(), Temp: room.Temp(), Shared: w.shared, Request: room.Request()}
	return &slot{room: room, places: places.Variables()}, nil
}

// single reports whether the worker takes one task in its life.
func (w *Worker) single() bool { return w.launch.Start != faas.StartWarm }

// Take takes a slot for an invocation, or returns ErrBusy. While a slot is being
// cleaned it waits for it, for at most half a second. A call that was taken is
// then accepted or abandoned.
func (w *Worker) Take(id faas.InvocationID) (*Call, error) {
	var late <-chan time.Time
	for {
		call, cleaned := w.tryTake(id)
		if call != nil {
			return call, nil
		}
		if cleaned == nil {
			return nil, ErrBusy
		}
		if late == nil {
			timer := time.NewTimer(cleaningWait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-cleaned:
		case <-late:
			return nil, ErrBusy
		}
	}
}

// tryTake takes a slot, or returns what to wait for; nil: nothing is worth waiting for.
func (w *Worker) tryTake(id faas.InvocationID) (*Call, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, held := w.calls[id]
	other := w.launch.Invocation != "" && w.launch.Invocation != id
	if held || other || w.draining {
		return nil, nil
	}
	s := w.pop()
	if s == nil {
		if w.cleaning == 0 {
			return nil, nil
		}
		if w.cleaned == nil {
			w.cleaned = make(chan struct{})
		}
		return nil, w.cleaned
	}
	call := newCall(w, id, s)
	w.calls[id] = call
	w.publish(task.Event{Kind: task.EventTaken, Invocation: id})
	return call, nil
}

// pop takes a free slot, or returns nil; w.mu is held.
func (w *Worker) pop() *slot {
	last := len(w.slots) - 1
	if last < 0 {
		return nil
	}
	s := w.slots[last]
	w.slots = w.slots[:last]
	return s
}

// Find returns the call that holds an invocation, from its acceptance until it is forgotten.
func (w *Worker) Find(id faas.InvocationID) (*Call, bool) {
	w.mu.Lock()
	call, held := w.calls[id]
	w.mu.Unlock()
	if !held || !call.isAccepted() {
		return nil, false
	}
	return call, true
}

// Held returns what the worker has accepted and not forgotten.
func (w *Worker) Held() []task.Held {
	var held []task.Held
	for _, call := range w.all() {
		if call.isAccepted() {
			held = append(held, call.held())
		}
	}
	return held
}

// all returns the calls, accepted or not.
func (w *Worker) all() []*Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := make([]*Call, 0, len(w.calls))
	for _, call := range w.calls {
		calls = append(calls, call)
	}
	return calls
}

// Free returns how many slots a Take would find.
func (w *Worker) Free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.free()
}

func (w *Worker) free() int {
	if w.draining {
		return 0
	}
	return len(w.slots)
}

// count notes an accepted call: a worker may be done with taking after it.
func (w *Worker) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accepted++
	switch most := w.launch.MaxCalls; {
	case w.single():
		w.draining = true
	case most > 0 && w.accepted >= most:
		w.drain("it has taken its max_calls")
	}
}

// Drain takes no more calls; those that are taken go on.
func (w *Worker) Drain(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drain(why)
}

func (w *Worker) drain(why string) {
	if w.draining {
		return
	}
	w.draining = true
	w.publish(task.Event{Kind: task.EventDraining, Detail: why})
	w.checkDone()
}

func (w *Worker) drainAfter(age time.Duration) {
	timer := time.NewTimer(age)
	defer timer.Stop()
	select {
	case <-timer.C:
		w.Drain("it has reached its max_age")
	case <-w.life.Done():
	}
}

// Done is closed when the worker drains and holds nothing more: the program may end.
func (w *Worker) Done() <-chan struct{} { return w.done }

// checkDone closes done when there is nothing left to do; w.mu is held.
func (w *Worker) checkDone() {
	if w.draining && len(w.calls) == 0 && w.cleaning == 0 {
		w.doneOnce.Do(func() { close(w.done) })
	}
}

// forget drops a call that nobody needs any more, or that gave its slot back.
func (w *Worker) forget(c *Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.calls, c.id)
	w.checkDone()
}

// toClean says that a slot is about to be cleaned, so that a Take waits for it.
func (w *Worker) toClean() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cleaning++
}

// clean makes a slot free again, after toClean. What cannot be cleaned stays shut, and the worker drains.
func (w *Worker) clean(s *slot) {
	err := errors.Join(s.room.Clean(), w.cleanCommon())
	if err != nil {
		w.log.Error("workspace cannot be cleaned", "cause", err)
	}
	dirty := w.host.Dirty()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cleaning--
	w.slots = append(w.slots, s)
	switch {
	case dirty:
		w.drain("dirty: a process was left behind that belongs to no call")
	case err != nil:
		w.drain("dirty: a workspace cannot be cleaned")
	}
	if w.cleaned != nil {
		close(w.cleaned)
		w.cleaned = nil
	}
	w.checkDone()
}

// keepHouse reaps what ends by itself and tells the free slots from time to time.
func (w *Worker) keepHouse() {
	reap, tell := time.NewTicker(reapEvery), time.NewTicker(slotsEvery)
	defer reap.Stop()
	defer tell.Stop()
	for {
		select {
		case <-reap.C:
			w.host.Reap()
		case <-tell.C:
			w.tell(task.Event{Kind: task.EventSlots})
		case <-w.life.Done():
			return
		}
	}
}
