package park

import (
	"context"
	"errors"
	"sync"
	"time"

	"davit/internal/backoff"
	"davit/internal/faas"
	"davit/internal/task"
)

// run dials the connections again and again until the link is cancelled.
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
	pause := newPause()
	for k.ctx.Err() == nil {
		begun := time.Now()
		err := k.control()
		if k.ctx.Err() != nil {
			return
		}
		k.markDisconnected(err)
		if time.Since(begun) > longest {
			pause.Reset()
		}
		_ = pause.Wait(k.ctx)
	}
}

// control dials once and serves the connection to its end.
func (k *link) control() error {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	feed := newFeed(ctx, k.conns)
	defer feed.stop() // before the next hello is written, so that the hello covers every event that was sent
	if err := feed.begin(ctx); err != nil {
		return err
	}
	nc, gateway, err := k.dial(ctx, task.LinkControl)
	if err != nil {
		return err
	}
	k.markConnected(gateway)
	return k.conns.serveControl(ctx, k, nc, feed)
}

// markConnected records that the control connection is open.
func (k *link) markConnected(gateway faas.GatewayID) {
	l := k.conns
	l.mu.Lock()
	defer l.mu.Unlock()
	k.gateway, k.down, k.refused = gateway, false, nil
	l.announce()
	k.log.Info("connected", "id", gateway)
}

// markDisconnected records that there is no control connection.
func (k *link) markDisconnected(err error) {
	l := k.conns
	l.mu.Lock()
	defer l.mu.Unlock()
	was := k.gateway
	k.gateway, k.sentSeq = "", 0
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

// keepSlot parks one slot's connection again and again, while the gateway can be reached and the worker takes calls.
func (k *link) keepSlot() {
	select {
	case <-k.conns.ready:
	case <-k.ctx.Done():
		return
	}
	pause := newPause()
	for k.mayPark() {
		nc, _, err := k.dial(k.ctx, task.LinkSlot)
		if err == nil && k.conns.serveSlot(nc) {
			pause.Reset()
			continue
		}
		_ = pause.Wait(k.ctx)
	}
}

// mayPark waits while the gateway cannot be reached. It returns false when the runner drains or the link ends.
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

// newPause returns the pauses between the tries to reach a gateway.
func newPause() backoff.Backoff {
	return backoff.Backoff{Min: shortest, Max: longest, Spread: true}
}
