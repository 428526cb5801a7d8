package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"davit/internal/backoff"
	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	permitPoll    = 20 * time.Millisecond
	permitPollMax = 500 * time.Millisecond

	releaseWithin = 5 * time.Second
)

// permits takes and releases the permits of jobs: how many a function may run at once is bounded over all gateways.
type permits struct {
	store   Permits
	runners int           // of all functions at once; 0: any number
	lease   time.Duration // of a permit
	log     *slog.Logger
	now     func() time.Time
	changed *signal.Broadcast // sent when a permit was released somewhere
	wake    signal.Wake       // there is a permit to release

	mu    sync.Mutex
	held  map[faas.InvocationID]faas.FunctionName
	freed map[faas.InvocationID]faas.FunctionName // to be released
}

func newPermits(o *Options, changed *signal.Broadcast) *permits {
	return &permits{
		store: o.Permits, runners: o.Limits.Runners, lease: o.Limits.Lease, log: o.Log, now: o.Now, changed: changed, wake: signal.NewWake(),
		held: make(map[faas.InvocationID]faas.FunctionName), freed: make(map[faas.InvocationID]faas.FunctionName),
	}
}

// take waits until the function may run one more job. The error is ctx's cause, or the store's.
func (p *permits) take(ctx context.Context, c *call) error {
	for poll := (backoff.Backoff{Min: permitPoll, Max: permitPollMax}); ; {
		changed := p.changed.C()
		ok, err := p.acquire(ctx, c)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if ok {
			p.mu.Lock()
			p.held[c.id] = c.rev.Function
			p.mu.Unlock()
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
			poll.Reset()
		case <-time.After(poll.Next()):
		}
	}
}

// acquire asks for a permit, unless an earlier one of the call is still to be released.
func (p *permits) acquire(ctx context.Context, c *call) (bool, error) {
	p.mu.Lock()
	_, freed := p.freed[c.id]
	p.mu.Unlock()
	if freed {
		return false, nil
	}
	return p.store.AcquirePermit(ctx, c.rev.Function, c.id, c.rev.Spec.MaxConcurrency, p.runners, p.now().Add(p.lease))
}

// free releases a call's permit soon; it is harmless if there is none.
func (p *permits) free(id faas.InvocationID) {
	p.mu.Lock()
	fn, held := p.held[id]
	if held {
		delete(p.held, id)
		p.freed[id] = fn
	}
	p.mu.Unlock()
	if held {
		p.wake.Set()
	}
}

// Run releases freed permits until ctx ends, and those that are left then.
func (p *permits) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			p.release(context.WithoutCancel(ctx))
			return nil
		case <-p.wake.C():
			p.release(ctx)
		}
	}
}

func (p *permits) release(ctx context.Context) {
	p.mu.Lock()
	freed := maps.Clone(p.freed)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	for id, fn := range freed {
		if err := p.store.ReleasePermit(ctx, fn, id); err != nil {
			p.log.Warn("releasing the permit of a job failed; its lease ends by itself", "invocation", id, "error", err)
		}
	}
	p.mu.Lock()
	for id := range freed {
		delete(p.freed, id)
	}
	p.mu.Unlock()
	p.changed.Send()
}

// renew prolongs the permits that are held.
func (p *permits) renew(ctx context.Context) {
	p.mu.Lock()
	held := make(map[faas.FunctionName][]faas.InvocationID)
	for id, fn := range p.held {
		held[fn] = append(held[fn], id)
	}
	p.mu.Unlock()
	until := p.now().Add(p.lease)
	for fn, ids := range held {
		if err := p.store.RenewPermits(ctx, fn, ids, until); err != nil {
			p.log.Warn("renewing the permits of running jobs failed", "function", fn, "error", err)
		}
	}
}
