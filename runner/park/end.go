package park

import (
	"context"
	"fmt"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const (
	lookEvery     = time.Second
	tellWithin    = 5 * time.Second // a gateway, why the worker did not get ready
	readWithin    = time.Minute     // a gateway, what the kernel still holds of an answer
	farewellTakes = 2 * time.Second
)

// untilOver returns when the runner has no reason to go on.
func (l *lot) untilOver(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var end ending
	done, stop := l.worker.Done(), ctx.Done()
	var drained <-chan time.Time
	for {
		if over, err := l.over(time.Now(), end); over {
			l.farewell()
			return err
		}
		select {
		case <-l.notice:
		case now := <-look.C:
			l.giveUpUnacked(now)
		case <-done:
			done, end.done = nil, true
			l.askReady(ctx)
		case <-stop:
			stop, end.stopping = nil, true
			l.stopParking()
			l.worker.Drain("the runner was told to stop")
			drained = time.After(l.opts.Terms.Drain)
		case <-drained:
			return nil
		}
	}
}

// ending is why the runner may be about to end.
type ending struct {
	done     bool // the worker is
	stopping bool // it was told to
}

// over says whether the runner is to end, and why.
func (l *lot) over(now time.Time, end ending) (bool, error) {
	l.mu.Lock()
	failed, told := l.failed, l.failureTold || now.Sub(l.failedAt) > tellWithin
	busy, forsaken := l.busy(now), l.forsaken(now)
	l.mu.Unlock()
	switch {
	case failed != nil:
		return told, fmt.Errorf("%w: %w", ErrStart, failed)
	case busy:
		return false, nil
	case end.done:
		return true, nil
	case !end.stopping && forsaken == nil, len(l.worker.Held()) > 0:
		return false, nil
	case end.stopping:
		return true, nil
	}
	return true, forsaken
}

// askReady learns whether a worker that is done never got ready: then it failed.
func (l *lot) askReady(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if err := l.worker.Ready(ctx); err != nil && ctx.Err() == nil {
		l.fail(err)
	}
}

// busy reports whether a call is being accepted or answered, or an answer may not
// have been read to its end.
func (l *lot) busy(now time.Time) bool {
	if len(l.accepting) > 0 || l.answers > 0 {
		return true
	}
	for _, since := range l.served {
		if l.draining && now.Sub(since) < readWithin {
			return true
		}
	}
	return false
}

// forsaken says whether no gateway wants an idle runner.
func (l *lot) forsaken(now time.Time) error {
	var refused error
	all := true
	for _, k := range l.links {
		if k.gateway != "" {
			return nil
		}
		all = all && k.refused != nil
		refused = k.refused
	}
	switch away := now.Sub(l.seen); {
	case all && refused != nil && away > l.opts.Terms.Unfit:
		return fmt.Errorf("%w: %w", ErrUnfit, refused)
	case away > l.opts.Terms.Alone:
		return ErrAlone
	}
	return nil
}

// follow sees to it that no outcome waits forever for a gateway to acknowledge it.
func (l *lot) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.worker.Events(ctx, func(e task.Event) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			switch e.Kind { //nolint:exhaustive // the others change nothing here
			case task.EventStored:
				l.unacked[e.Invocation] = time.Now().Add(l.opts.Terms.Unack)
			case task.EventDraining, task.EventStartFailed:
				l.draining = true
				l.stir()
			}
			return nil
		})
		if ctx.Err() == nil {
			l.log.Warn("events are followed anew", "cause", err)
		}
	}
}

// giveUpUnacked acknowledges what no gateway did for too long.
func (l *lot) giveUpUnacked(now time.Time) {
	l.mu.Lock()
	waiting := make(map[faas.InvocationID]time.Time, len(l.unacked))
	for id, until := range l.unacked {
		waiting[id] = until
	}
	l.mu.Unlock()
	for id, until := range waiting {
		call, held := l.worker.Find(id)
		switch {
		case held && now.Before(until):
			continue
		case held:
			l.log.Warn("no gateway acknowledged the outcome", "invocation", id)
			call.Ack()
		}
		l.mu.Lock()
		delete(l.unacked, id)
		l.mu.Unlock()
	}
}

// farewell waits until the connected gateways were sent the last events.
func (l *lot) farewell() {
	late := time.NewTimer(farewellTakes)
	defer late.Stop()
	for !l.allTold() {
		select {
		case <-l.notice:
		case <-late.C:
			return
		}
	}
}

func (l *lot) allTold() bool {
	last := l.worker.Seq()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.links {
		if k.gateway != "" && k.told < last {
			return false
		}
	}
	return true
}
