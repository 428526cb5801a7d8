package park

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// run keeps the connections up until the link is not wanted any more.
func (k *link) run() {
	defer k.cancel()
	var slots sync.WaitGroup
	for range k.conns.opts.Hello.Slots {
		slots.Go(k.keepSlot)
	}
	k.keepControl()
	slots.Wait()
}

// keepControl dials the control connection again and again.
func (k *link) keepControl() {
	var pause backoff
	for k.ctx.Err() == nil {
		begun := time.Now()
		err := k.control()
		if k.ctx.Err() != nil {
			return
		}
		k.fell(err)
		if time.Since(begun) > longest {
			pause = 0
		}
		pause.wait(k.ctx)
	}
}

// control dials once and serves the connection to its end.
func (k *link) control() error {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	feed := newFeed(ctx, k.conns)
	defer feed.stop() // before the next hello is made: what a gateway was told before, that hello knows
	if err := feed.begin(ctx); err != nil {
		return err
	}
	nc, gateway, err := k.dial(ctx, task.LinkControl)
	if err != nil {
		return err
	}
	k.rose(gateway)
	return k.conns.serveControl(ctx, k, nc, feed)
}

// rose notes that the control connection stands.
func (k *link) rose(gateway faas.GatewayID) {
	l := k.conns
	l.mu.Lock()
	defer l.mu.Unlock()
	k.gateway, k.down, k.refused = gateway, false, nil
	l.announce()
	k.log.Info("connected", "id", gateway)
}

// fell notes that there is no control connection.
func (k *link) fell(err error) {
	l := k.conns
	l.mu.Lock()
	defer l.mu.Unlock()
	was := k.gateway
	k.gateway, k.told = "", 0
	if was != "" {
		l.seen = time.Now()
	}
	first := !k.down
	k.down = true
	if r, ok := errors.AsType[*refusedError](err); ok && r.final() {
		k.refused = err
	}
	if first {
		k.log.Warn("not connected", "error", err)
	}
	if !k.wanted {
		k.cancel()
		delete(l.links, k.address)
	}
	l.announce()
}

// keepSlot parks one slot's connection again and again, while the gateway can be
// reached and the worker takes calls.
func (k *link) keepSlot() {
	select {
	case <-k.conns.ready:
	case <-k.ctx.Done():
		return
	}
	var pause backoff
	for k.mayPark() {
		nc, _, err := k.dial(k.ctx, task.LinkSlot)
		if err == nil && k.conns.serveSlot(nc) {
			pause = 0
			continue
		}
		pause.wait(k.ctx)
	}
}

// mayPark waits while the gateway cannot be reached, and reports whether slots are still to be parked.
func (k *link) mayPark() bool {
	l := k.conns
	for k.ctx.Err() == nil {
		l.mu.Lock()
		changed, draining, down := l.changed.C(), l.draining, k.down
		l.mu.Unlock()
		switch {
		case draining:
			return false
		case !down:
			return true
		}
		select {
		case <-changed:
		case <-k.ctx.Done():
		}
	}
	return false
}

const (
	shortest = 50 * time.Millisecond
	longest  = 2 * time.Second
)

// backoff is the next pause between two tries; 0 is the first.
type backoff time.Duration

// wait pauses for about that long, and doubles it.
func (b *backoff) wait(ctx context.Context) {
	d := max(time.Duration(*b), shortest)
	*b = backoff(min(2*d, longest))
	t := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // nobody gains from guessing it
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
