package park

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// link is all connections to one address.
type link struct {
	lot     *lot
	address string
	log     *slog.Logger
	ctx     context.Context //nolint:containedctx // the link's life, which others end
	cancel  context.CancelFunc

	// Guarded by lot.mu.
	wanted  bool           // the address is still named
	down    bool           // the last try to connect failed
	gateway faas.GatewayID // whose control connection stands; "" for none
	told    int64          // Seq of the last event that it was sent
	refused error          // why it does not let this runner in, for good
}

func newLink(ctx context.Context, l *lot, address string) *link {
	k := &link{lot: l, address: address, log: l.log.With("gateway", address), wanted: true}
	k.ctx, k.cancel = context.WithCancel(ctx)
	return k
}

// run keeps the connections up until the link is not wanted any more.
func (k *link) run() {
	defer k.cancel()
	var slots sync.WaitGroup
	for range k.lot.opts.Hello.Slots {
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
	feed := newFeed(ctx, k.lot)
	defer feed.stop() // before the next hello is made: what a gateway was told before, that hello knows
	if err := feed.begin(ctx); err != nil {
		return err
	}
	nc, gateway, err := k.dial(ctx, task.LinkControl)
	if err != nil {
		return err
	}
	k.rose(gateway)
	return k.lot.serveControl(ctx, k, nc, feed)
}

// rose notes that the control connection stands.
func (k *link) rose(gateway faas.GatewayID) {
	l := k.lot
	l.mu.Lock()
	defer l.mu.Unlock()
	k.gateway, k.down, k.refused = gateway, false, nil
	l.stir()
	k.log.Info("connected", "id", gateway)
}

// fell notes that there is no control connection.
func (k *link) fell(err error) {
	l := k.lot
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
		k.log.Warn("not connected", "cause", err)
	}
	if !k.wanted {
		k.cancel()
		delete(l.links, k.address)
	}
	l.stir()
}

// linked returns the gateways whose control connections stand.
func (l *lot) linked() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, k := range l.links {
		if k.gateway != "" {
			ids = append(ids, string(k.gateway))
		}
	}
	return strings.Join(ids, ",")
}

// keepSlot parks one slot's connection again and again, while the gateway can be
// reached and the worker takes calls.
func (k *link) keepSlot() {
	select {
	case <-k.lot.ready:
	case <-k.ctx.Done():
		return
	}
	var pause backoff
	for k.mayPark() {
		nc, _, err := k.dial(k.ctx, task.LinkSlot)
		if err == nil && k.lot.serveSlot(nc) {
			pause = 0
			continue
		}
		pause.wait(k.ctx)
	}
}

// mayPark waits while the gateway cannot be reached, and reports whether slots are still to be parked.
func (k *link) mayPark() bool {
	l := k.lot
	for k.ctx.Err() == nil {
		l.mu.Lock()
		changed, draining, down := l.changed, l.draining, k.down
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

// parkedConn is a connection whose other end is now the client.
type parkedConn struct {
	net.Conn
	early  *earlyReader
	used   atomic.Bool // it carried a call
	closed chan struct{}
	once   sync.Once
}

// Read reads first what came right behind the handshake.
func (c *parkedConn) Read(p []byte) (int, error) { return c.early.Read(p) }

// Close closes the connection and tells who waits for that.
func (c *parkedConn) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
