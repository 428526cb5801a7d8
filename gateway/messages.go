package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"davit/gateway/api"
	"davit/gateway/dispatch"
	"davit/gateway/fleet"
	"davit/gateway/hub"
	"davit/gateway/observer"
	"davit/gateway/recovery"
	"davit/gateway/redisstore"
	"davit/gateway/register"
	"davit/internal/faas"
)

// peers knows the live gateways, and sends them to runners.
type peers struct {
	id    faas.GatewayID
	own   string // where runners reach this gateway
	store *redisstore.Store
	hub   *hub.Hub
	addrs atomic.Pointer[[]string] // where runners reach the live gateways
}

// beat publishes that this gateway lives and which registrations it serves.
func (p *peers) beat(ctx context.Context, applied int64) error {
	if err := p.store.Beat(ctx, redisstore.Gateway{ID: p.id, RunnerAddr: p.own, Applied: applied}); err != nil {
		return err
	}
	return p.update(ctx)
}

// leave publishes that this gateway has stopped, so that no registration waits for it.
func (p *peers) leave(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := p.store.Leave(ctx, p.id); err != nil {
		log.Warn("leaving the live gateways failed; the heartbeat ends by itself", "error", err)
	}
}

// update reads which gateways live, and sends their addresses to the connected runners.
func (p *peers) update(ctx context.Context) error {
	live, err := p.store.LiveGateways(ctx)
	if err != nil {
		return err
	}
	addrs := make([]string, 0, len(live))
	for _, peer := range live {
		if peer.RunnerAddr != "" {
			addrs = append(addrs, peer.RunnerAddr)
		}
	}
	p.hub.SetPeers(addrs)
	p.addrs.Store(&addrs)
	return nil
}

// dial returns where new runners of this machine connect: here first, and at the other gateways, should this one die
// before it can name them.
func (p *peers) dial() []string {
	addrs := []string{p.own}
	if live := p.addrs.Load(); live != nil {
		for _, addr := range *live {
			if addr != p.own {
				addrs = append(addrs, addr)
			}
		}
	}
	return addrs
}

// messages passes on what gateways publish to one another.
type messages struct {
	store    *redisstore.Store
	peers    *peers
	catalog  *register.Catalog
	fleet    *fleet.Fleet
	calls    *dispatch.Dispatcher
	recovery *recovery.Recoverer
	observer *observer.Observer
	log      *slog.Logger
}

func (m *messages) run(ctx context.Context) error {
	received, unsubscribe := m.store.Subscribe()
	defer unsubscribe()
	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-received:
			m.handle(ctx, &message)
		}
	}
}

func (m *messages) handle(ctx context.Context, message *redisstore.Message) {
	switch message.Kind {
	case redisstore.KindRegistry:
		m.catalog.Wake()
	case redisstore.KindPeers:
		if err := m.peers.update(ctx); err != nil {
			m.log.Warn("sending the live gateways to runners failed", "error", err)
		}
	case redisstore.KindCancel:
		m.calls.CancelLed(message.Invocation)
	case redisstore.KindInvocation:
		if message.State.Final() {
			m.recovery.EndedElsewhere(message.Invocation)
		}
		m.calls.Announce()
	case redisstore.KindPermit:
		m.calls.Announce()
		m.fleet.CapacityFreed()
	case redisstore.KindDemand:
		m.fleet.DemandChanged()
	case redisstore.KindLead:
		m.fleet.LeadFree()
	case redisstore.KindExit:
		m.observer.ExitPublished(message.Text)
	case redisstore.KindResync:
		m.catalog.Wake()
		m.calls.Announce()
	case redisstore.KindApplied:
	}
}

// changes is the subscription of the event stream.
type changes struct{ store *redisstore.Store }

func (c changes) Subscribe() (<-chan api.Change, func()) {
	messages, cancel := c.store.Subscribe()
	out := make(chan api.Change, 64)
	go func() {
		defer close(out)
		for m := range messages {
			if change, ok := changeOf(m); ok {
				select {
				case out <- change:
				default: // a reader that is too slow loses some; it resyncs by reading
				}
			}
		}
	}()
	return out, cancel
}

func changeOf(m redisstore.Message) (api.Change, bool) {
	switch m.Kind {
	case redisstore.KindInvocation:
		return api.Change{Kind: "invocation", ID: string(m.Invocation), State: string(m.State), Function: string(m.Function), Trigger: string(m.Trigger)}, true
	case redisstore.KindRegistry:
		return api.Change{Kind: "registrations"}, true
	case redisstore.KindResync:
		return api.Change{Kind: "resync"}, true
	case redisstore.KindApplied, redisstore.KindPeers, redisstore.KindCancel, redisstore.KindPermit, redisstore.KindDemand, redisstore.KindLead, redisstore.KindExit:
	}
	return api.Change{}, false
}
