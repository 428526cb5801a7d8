package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// life runs the gateway's parts. They are stopped one by one in the reverse order of their start, each waited for; the
// first that ends by itself stops all.
type life struct {
	log   *slog.Logger
	parts []*part
	ended chan *part
}

type part struct {
	name string
	stop func()
	done chan struct{}
	err  error
}

// stopSlow is after how long a part that does not stop is mentioned in the log.
const stopSlow = 15 * time.Second

func newLife(log *slog.Logger) *life {
	return &life{log: log, ended: make(chan *part, 32)}
}

// start runs f until its context ends.
func (l *life) start(name string, f func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, stop: cancel, done: make(chan struct{})}
	l.parts = append(l.parts, p)
	go func() {
		p.err = f(ctx)
		l.ended <- p
		close(p.done)
	}()
}

// onStop calls f when its turn in the stopping order has come.
func (l *life) onStop(name string, f func()) {
	done := make(chan struct{})
	l.parts = append(l.parts, &part{name: name, done: done, stop: func() { f(); close(done) }})
}

// wait returns when ctx ends, with nil, or when a part ended by itself, with why.
func (l *life) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case p := <-l.ended:
		if p.err == nil {
			return fmt.Errorf("%s ended by itself", p.name)
		}
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
}

// stop stops every part and returns what went wrong with them.
func (l *life) stop() error {
	var errs []error
	for i := len(l.parts) - 1; i >= 0; i-- {
		p := l.parts[i]
		p.stop()
		slow := time.AfterFunc(stopSlow, func() { l.log.Warn("still stopping", "part", p.name) })
		<-p.done
		slow.Stop()
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, p.err))
		}
	}
	return errors.Join(errs...)
}
