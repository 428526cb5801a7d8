// Package parktest has a park.Worker for tests that runs no commands and keeps a ledger of what it would have run.
package parktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/park"
)

// Ledger counts how often each invocation ran, over all workers of a test.
type Ledger struct {
	mu   sync.Mutex
	runs map[faas.InvocationID]int
}

// NewLedger returns an empty one.
func NewLedger() *Ledger { return &Ledger{runs: map[faas.InvocationID]int{}} }

// Add counts a run.
func (l *Ledger) Add(id faas.InvocationID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[id]++
}

// Ran returns how often the invocation ran.
func (l *Ledger) Ran(id faas.InvocationID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[id]
}

// All returns how often each invocation ran.
func (l *Ledger) All() map[faas.InvocationID]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.runs)
}

// Result makes the body of an answer out of the input.
type Result func(t *task.Task, input []byte, size int64) (task.Outcome, io.Reader)

// Echo answers with the input.
func Echo(_ *task.Task, input []byte, _ int64) (task.Outcome, io.Reader) {
	return task.Outcome{}, bytes.NewReader(input)
}

// Worker is a park.Worker without commands: a call's result is there at once, or when Gate lets it go. Its fields are
// set before it is used.
type Worker struct {
	Single   bool                                    // it takes one call in its life
	Full     bool                                    // it takes none, and does not say so
	Drop     bool                                    // of the input only the size is kept
	Check    func(t *task.Task, head []byte) *string // why an input is refused by its beginning, or nil
	Gate     chan struct{}                           // calls end one for each thing received from it, all when it is closed; nil: at once
	Result   Result
	Readying chan error // Ready waits for what comes from it; nil: it is ready

	slots int
	ran   func(faas.InvocationID)

	mu       sync.Mutex
	free     int
	calls    map[faas.InvocationID]*call
	took     bool
	draining bool
	failed   error
	seq      int64
	feeds    map[chan task.Event]bool
	over     chan struct{}
	acked    int
	kept     int
}

// NewWorker returns a worker whose slots are free and whose results are the inputs. It calls ran for each invocation
// that would run now.
func NewWorker(slots int, ran func(faas.InvocationID)) *Worker {
	return &Worker{
		Result: Echo, slots: slots, free: slots, ran: ran,
		calls: map[faas.InvocationID]*call{}, feeds: map[chan task.Event]bool{}, over: make(chan struct{}),
	}
}

// Ready waits for Readying.
func (w *Worker) Ready(ctx context.Context) error {
	if w.Readying == nil {
		return nil
	}
	select {
	case err, open := <-w.Readying:
		w.mu.Lock()
		defer w.mu.Unlock()
		if open && err != nil && w.failed == nil {
			w.failed, w.draining = err, true
			w.emit(task.Event{Kind: task.EventStartFailed, Detail: err.Error()})
			w.settle()
		}
		return w.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Acked returns how many outcomes were acknowledged.
func (w *Worker) Acked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// Kept returns how often a call was told to be kept.
func (w *Worker) Kept() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept
}

// Settled waits until no slot is taken.
func (w *Worker) Settled(ctx context.Context) {
	for w.Free() < w.slots && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

// Take takes a slot, without waiting for one.
func (w *Worker) Take(id faas.InvocationID) (park.Call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Full || w.free == 0 || w.draining || w.calls[id] != nil || w.Single && w.took {
		return nil, errors.New("busy")
	}
	w.free--
	w.took = true
	c := &call{worker: w, id: id, ended: make(chan struct{}), cancelled: make(chan struct{})}
	w.calls[id] = c
	w.emit(task.Event{Kind: task.EventTaken, Invocation: id})
	return c, nil
}

// Find returns a call until it is acknowledged.
func (w *Worker) Find(id faas.InvocationID) (park.Call, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.calls[id]
	return c, ok
}

// Free returns how many slots are not taken.
func (w *Worker) Free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.free
}

// Drain takes no more calls.
func (w *Worker) Drain(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.draining {
		w.draining = true
		w.emit(task.Event{Kind: task.EventDraining, Detail: why})
	}
	w.settle()
}

// settle ends the worker when it drains and holds nothing.
func (w *Worker) settle() {
	if (w.draining || w.Single && w.took) && len(w.calls) == 0 {
		select {
		case <-w.over:
		default:
			close(w.over)
		}
	}
}

// Done is closed when the worker drains, or has had its one call, and holds nothing.
func (w *Worker) Done() <-chan struct{} { return w.over }

// Owned returns the calls that were accepted.
func (w *Worker) Owned() []task.Owned {
	w.mu.Lock()
	defer w.mu.Unlock()
	var held []task.Owned
	for _, c := range w.calls {
		if c.task == nil {
			continue
		}
		h := task.Owned{Record: c.task.Record}
		select {
		case <-c.ended:
			h.Ended, h.Outcome = true, &c.outcome
		default:
		}
		held = append(held, h)
	}
	return held
}

// emit tells everybody; w.mu is held.
func (w *Worker) emit(e task.Event) {
	w.seq++
	e.Seq, e.Free = w.seq, w.free
	if w.draining || w.Single && w.took {
		e.Free = 0
	}
	for f := range w.feeds {
		f <- e
	}
}

// Events tells of everything from now on.
func (w *Worker) Events(ctx context.Context, tell func(task.Event) error) error {
	w.mu.Lock()
	f := make(chan task.Event, 100_000)
	w.feeds[f] = true
	f <- task.Event{Seq: w.seq, Kind: task.EventSlots, Free: w.free}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.feeds, f)
	}()
	for {
		select {
		case e := <-f:
			if err := tell(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call is a park.Call of the worker.
type call struct {
	worker    *Worker
	id        faas.InvocationID
	task      *task.Task
	input     []byte
	size      int64
	outcome   task.Outcome
	ended     chan struct{}
	lost      bool // given back before its commit; read after ended is closed
	cancelled chan struct{}
	once      sync.Once
}

// Accept reads the body and counts the run.
func (c *call) Accept(_ context.Context, body io.Reader) error {
	t, refused, err := c.read(body)
	w := c.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		delete(w.calls, c.id)
		w.free++
		w.took = false
		c.lost = true
		close(c.ended)
		w.emit(task.Event{Kind: task.EventReleased, Invocation: c.id})
		return err
	}
	c.task = t
	if refused != nil {
		c.outcome = task.Outcome{Reason: faas.ReasonInputInvalid, Detail: *refused, EndedAt: time.Now()}
		c.end()
		return nil
	}
	w.ran(c.id)
	w.emit(task.Event{Kind: task.EventRunning, Invocation: c.id, Record: &t.Record})
	go c.run()
	return nil
}

func (c *call) read(body io.Reader) (t *task.Task, refused *string, err error) {
	if t, err = task.ReadTask(body); err != nil {
		return nil, nil, err
	}
	if c.worker.Check != nil {
		head := make([]byte, 16)
		n, err := io.ReadFull(body, head)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil, err
		}
		if refused = c.worker.Check(t, head[:n]); refused != nil {
			return t, refused, nil
		}
	}
	if !c.worker.Drop {
		c.input, err = io.ReadAll(body)
		c.size = int64(len(c.input))
	} else {
		c.size, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{body}, make([]byte, 32<<10))
	}
	if c.size > int64(t.MaxBody) && t.MaxBody > 0 {
		return nil, nil, park.ErrTooLarge
	}
	return t, nil, err
}

func (c *call) run() {
	if c.worker.Gate != nil {
		select {
		case <-c.worker.Gate:
		case <-c.cancelled:
			c.outcome.Reason = faas.ReasonCancelled
		}
	}
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	c.end()
}

// end makes the call ended; w.mu is held.
func (c *call) end() {
	w := c.worker
	c.outcome.EndedAt = time.Now()
	close(c.ended)
	w.free++
	o := c.outcome
	w.emit(task.Event{Kind: task.EventEnded, Invocation: c.id, Outcome: &o})
	w.emit(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: &o})
}

// Answer waits for the call's end.
func (c *call) Answer(ctx context.Context) (*park.Answer, error) {
	select {
	case <-c.ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.lost {
		return nil, errors.New("it was given back")
	}
	if c.outcome.Reason != "" {
		return &park.Answer{Outcome: c.outcome}, nil
	}
	outcome, body := c.worker.Result(c.task, c.input, c.size)
	if outcome.Reason != "" {
		return &park.Answer{Outcome: outcome}, nil
	}
	return &park.Answer{Outcome: outcome, Kind: "zip", Body: &summed{Reader: body, sum: sha256.New()}}, nil
}

// Log returns a line, and with follow a second one at the call's end.
func (c *call) Log(ctx context.Context, from int64, follow bool) (io.ReadCloser, error) {
	whole := "log of " + string(c.id)
	from = min(from, int64(len(whole)))
	if !follow {
		return io.NopCloser(bytes.NewReader([]byte(whole[from:]))), nil
	}
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, whole[from:])
		select {
		case <-c.ended:
		case <-ctx.Done():
		}
		_, _ = io.WriteString(w, ", ended")
		_ = w.Close()
	}()
	return r, nil
}

// Cancel ends a call that waits for the gate.
func (c *call) Cancel() { c.once.Do(func() { close(c.cancelled) }) }

// Keep counts.
func (c *call) Keep() {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	c.worker.kept++
}

// Ack forgets a call that has ended.
func (c *call) Ack() {
	w := c.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-c.ended:
		w.acked++
		delete(w.calls, c.id)
		w.settle()
	default:
	}
}
