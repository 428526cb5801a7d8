package park

import (
	"context"
	"log/slog"
	"net"
	"time"

	"davit/internal/faas"
	"davit/internal/signal"
)

func (t Terms) complete() Terms {
	for _, d := range []struct {
		term  *time.Duration
		usual time.Duration
	}{{&t.Alone, 2 * time.Minute}, {&t.Unfit, 10 * time.Second}, {&t.Unack, 10 * time.Minute}, {&t.Drain, 30 * time.Second}} {
		if *d.term == 0 {
			*d.term = d.usual
		}
	}
	return t
}

// Run parks the worker's slots at all gateways and serves them. It returns nil when the worker is done and its answers
// were read. When ctx ends, Run drains the worker and returns nil as soon as no call runs, at the latest after
// Terms.Drain. Otherwise it returns ErrStart, ErrUnfit or ErrAlone. All goroutines of Run have ended when it returns;
// Run does not close the worker.
func Run(ctx context.Context, w Worker, o Options) error {
	l := newConnections(w, o)
	defer l.close()
	if o.Multipart != nil {
		o.Multipart.open(l.connected)
	}
	l.group.Go(func() { l.findGateways(l.life) })
	l.group.Go(func() { l.getReady(l.life) })
	l.group.Go(func() { l.follow(l.life) })
	l.group.Go(l.serveSlots)
	if o.Hello.Start == faas.StartStandby {
		l.group.Go(l.warmUp)
	}
	return l.untilOver(ctx)
}

func newConnections(w Worker, o Options) *connections {
	o.Terms = o.Terms.complete()
	l := &connections{
		worker:    w,
		opts:      o,
		log:       o.Log,
		ready:     make(chan struct{}),
		queue:     make(chan net.Conn),
		notice:    signal.NewWake(),
		renamed:   signal.NewWake(),
		links:     map[string]*link{},
		seen:      time.Now(),
		accepting: map[faas.InvocationID]bool{},
		served:    map[net.Conn]time.Time{},
		unacked:   map[faas.InvocationID]time.Time{},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.life, l.end = context.WithCancel(context.Background())
	l.slots = l.slotServer()
	l.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	return l
}

// close closes every connection and waits for the goroutines of Run.
func (l *connections) close() {
	l.end()
	_ = l.slots.Close()
	l.group.Wait()
	l.handlers.end()
}

// getReady waits until the worker is ready, and starts the parking of slots.
func (l *connections) getReady(ctx context.Context) {
	err := l.worker.Ready(ctx)
	if err == nil {
		close(l.ready)
		return
	}
	if ctx.Err() == nil {
		l.fail(err)
	}
}
