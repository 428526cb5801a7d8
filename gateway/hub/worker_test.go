package hub_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"davit/gateway/faas"
	"davit/internal/task"
	"davit/runner/park"
)

// ledger counts how often each invocation ran, over all workers of a test.
type ledger struct {
	mu   sync.Mutex
	runs map[faas.InvocationID]int
}

func newLedger() *ledger { return &ledger{runs: map[faas.InvocationID]int{}} }

func (l *ledger) add(id faas.InvocationID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[id]++
}

func (l *ledger) ran(id faas.InvocationID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[id]
}

// result makes the body of an answer out of the input.
type result func(t *task.Task, input []byte, size int64) (task.Outcome, io.Reader)

// echo answers with the input.
func echo(_ *task.Task, input []byte, _ int64) (task.Outcome, io.Reader) {
	return task.Outcome{}, bytes.NewReader(input)
}

// worker is a park.Worker without commands: a call's result is there at once, or when it is let go.
type worker struct {
	slots  int
	single bool
	ledger *ledger
	result result
	keep   bool                                    // the input is handed to result; else only its size
	check  func(t *task.Task, head []byte) *string // an input that is refused by its beginning: the detail
	full   bool                                    // takes nothing, and does not say so
	gate   chan struct{}                           // nil: results are there at once; else one is for each thing received, or all when closed

	mu       sync.Mutex
	free     int
	calls    map[faas.InvocationID]*call
	took     bool
	draining bool
	seq      int64
	feeds    map[chan task.Event]bool
	over     chan struct{}
	readied  chan struct{}
	failed   error
	acked    int
	kept     int
}

func newWorker(slots int, l *ledger) *worker {
	w := &worker{
		slots: slots, free: slots, ledger: l, result: echo, keep: true,
		calls: map[faas.InvocationID]*call{}, feeds: map[chan task.Event]bool{},
		over: make(chan struct{}), readied: make(chan struct{}),
	}
	close(w.readied)
	return w
}

func (w *worker) Ready(ctx context.Context) error {
	select {
	case <-w.readied:
		return w.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *worker) Take(id faas.InvocationID) (park.Call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full || w.free == 0 || w.draining || w.calls[id] != nil || w.single && w.took {
		return nil, errors.New("busy")
	}
	w.free--
	w.took = true
	c := &call{worker: w, id: id, ended: make(chan struct{}), cancelled: make(chan struct{})}
	w.calls[id] = c
	w.emit(task.Event{Kind: task.EventTaken, Invocation: id})
	return c, nil
}

func (w *worker) Find(id faas.InvocationID) (park.Call, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.calls[id]
	return c, ok
}

func (w *worker) Free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.free
}

func (w *worker) Drain(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.draining {
		w.draining = true
		w.emit(task.Event{Kind: task.EventDraining, Detail: why})
	}
	w.settle()
}

// settle ends the worker when it drains and holds nothing.
func (w *worker) settle() {
	if (w.draining || w.single && w.took) && len(w.calls) == 0 {
		select {
		case <-w.over:
		default:
			close(w.over)
		}
	}
}

func (w *worker) Done() <-chan struct{} { return w.over }

func (w *worker) Held() []task.Held {
	w.mu.Lock()
	defer w.mu.Unlock()
	var held []task.Held
	for _, c := range w.calls {
		if c.task == nil {
			continue
		}
		h := task.Held{Record: c.task.Record}
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
func (w *worker) emit(e task.Event) {
	w.seq++
	e.Seq, e.Free = w.seq, w.free
	if w.draining || w.single && w.took {
		e.Free = 0
	}
	for f := range w.feeds {
		f <- e
	}
}

func (w *worker) Events(ctx context.Context, tell func(task.Event) error) error {
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
	worker    *worker
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
	w.ledger.add(c.id)
	w.emit(task.Event{Kind: task.EventRunning, Invocation: c.id, Record: &t.Record})
	go c.run()
	return nil
}

func (c *call) read(body io.Reader) (t *task.Task, refused *string, err error) {
	if t, err = task.ReadTask(body); err != nil {
		return nil, nil, err
	}
	if c.worker.check != nil {
		head := make([]byte, 16)
		n, err := io.ReadFull(body, head)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil, err
		}
		if refused = c.worker.check(t, head[:n]); refused != nil {
			return t, refused, nil
		}
	}
	if c.worker.keep {
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
	if c.worker.gate != nil {
		select {
		case <-c.worker.gate:
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
	outcome, body := c.worker.result(c.task, c.input, c.size)
	if outcome.Reason != "" {
		return &park.Answer{Outcome: outcome}, nil
	}
	return &park.Answer{Outcome: outcome, Kind: "zip", Body: &summed{Reader: body, sum: sha256.New()}}, nil
}

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

func (c *call) Cancel() { c.once.Do(func() { close(c.cancelled) }) }

func (c *call) Keep() {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	c.worker.kept++
}

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

// summed is a park.Result of a reader.
type summed struct {
	io.Reader
	sum  hash.Hash
	size int64
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.size += int64(n)
	_, _ = s.sum.Write(p[:n])
	return n, err
}

func (s *summed) Close() error { return nil }

func (s *summed) Sum() (int64, string) { return s.size, hex.EncodeToString(s.sum.Sum(nil)) }
