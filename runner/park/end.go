package park

import (
	"context"
	"fmt"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const (
	checkEvery        = time.Second
	sendFailureWithin = 5 * time.Second // for sending a gateway why the worker did not get ready
	readWithin        = time.Minute     // for a gateway to read the end of an answer that is still in the kernel's buffer
	lastEventWithin   = 2 * time.Second
)

// untilOver returns when the runner ends, with the reason.
func (l *connections) untilOver(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var end ending
	done, stop := l.worker.Done(), ctx.Done()
	var drained <-chan time.Time
	for {
		if over, err := l.over(time.Now(), end); over {
			l.waitForLastEvent()
			return err
		}
		select {
		case <-l.notice.C():
		case now := <-tick.C:
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

// ending has the reasons to end that untilOver has seen.
type ending struct {
	done     bool // the worker has no more work
	stopping bool // the context has ended
}

// over reports whether the runner ends now, and why.
func (l *connections) over(now time.Time, end ending) (bool, error) {
	l.mu.Lock()
	failed, sent := l.failed, l.failureSent || now.Sub(l.failedAt) > sendFailureWithin
	busy, reason := l.busy(now), l.links.withoutGateway(now.Sub(l.seen), l.opts.Terms)
	l.mu.Unlock()
	switch {
	case failed != nil:
		return sent, fmt.Errorf("%w: %w", ErrStart, failed)
	case busy:
		return false, nil
	case end.done:
		return true, nil
	case !end.stopping && reason == nil, len(l.worker.Owned()) > 0:
		return false, nil
	case end.stopping:
		return true, nil
	}
	return true, reason
}

// askReady records the failure of a worker that is done and never got ready.
func (l *connections) askReady(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkEvery)
	defer cancel()
	if err := l.worker.Ready(ctx); err != nil && ctx.Err() == nil {
		l.fail(err)
	}
}

// busy reports whether a call is being accepted or answered, or an answer may not have been read to its end.
func (l *connections) busy(now time.Time) bool {
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

// follow reads the worker's events, to record the outcomes that wait for an acknowledgement, and that the worker
// drains.
func (l *connections) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.worker.Events(ctx, func(e task.Event) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			switch e.Kind { //nolint:exhaustive // the others change nothing here
			case task.EventStored:
				l.unacked[e.Invocation] = time.Now().Add(l.opts.Terms.Unack)
			case task.EventDraining, task.EventStartFailed:
				l.draining = true
				l.announce()
			}
			return nil
		})
		if ctx.Err() == nil {
			l.log.Warn("reading events was interrupted; reading them again", "error", err)
		}
	}
}

// giveUpUnacked acknowledges each outcome that no gateway has acknowledged within Terms.Unack.
func (l *connections) giveUpUnacked(now time.Time) {
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

// waitForLastEvent waits until all connected gateways were sent the last event, or for lastEventWithin.
func (l *connections) waitForLastEvent() {
	late := time.NewTimer(lastEventWithin)
	defer late.Stop()
	for !l.allSent() {
		select {
		case <-l.notice.C():
		case <-late.C:
			return
		}
	}
}

func (l *connections) allSent() bool {
	last := l.worker.Seq()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.links.allSent(last)
}
