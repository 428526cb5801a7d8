package dispatch

import (
	"context"
	"time"

	"davit/internal/faas"
)

const (
	youngFor     = 5 * time.Second       // a record this young may still be on its way to Redis
	youngPoll    = 25 * time.Millisecond // how often it is looked for
	youngTries   = 40                    // and how many times
	listPatience = time.Second           // of a list for ends that callers know of already
)

// Find returns the newest record: of the call, while this gateway leads it, else of Redis.
func (d *Dispatcher) Find(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	for try := 0; ; try++ {
		if c := d.calls.find(id); c != nil && c.isKnown() {
			return c.snapshot(), nil
		}
		inv, err := d.records.FindInvocation(ctx, id)
		age := d.now().Sub(id.CreatedAt()) // by the clock of the gateway that made the id
		if err == nil || faas.KindOf(err) != faas.NotFound || try == youngTries || age > youngFor {
			return inv, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(youngPoll):
		}
	}
}

// View returns what is known of a call that this gateway leads.
func (d *Dispatcher) View(id faas.InvocationID) (view faas.CallView, leads bool) {
	if c := d.calls.find(id); c != nil {
		return c.view(), true
	}
	return faas.CallView{}, false
}

// CatchUp writes every record that is not in Redis yet, so that a list has every call that was answered here; it
// returns after settleSoon at the latest. With byState it first waits for the ends that callers know of already,
// because lists by state read Redis's index of states.
func (d *Dispatcher) CatchUp(ctx context.Context, byState bool) {
	if byState {
		d.awaitEnds(ctx)
	}
	d.recorder.catchUp(ctx, settleSoon)
}

func (d *Dispatcher) awaitEnds(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	for _, c := range d.calls.which(func(c *call) bool { return c.hasAnswered() && !c.isDecided() }) {
		select {
		case <-c.undecided.Done():
		case <-ctx.Done():
			return
		}
	}
}

// Changed returns a channel that is closed when an invocation changes anywhere, or a permit is freed.
func (d *Dispatcher) Changed() <-chan struct{} { return d.calls.changed.C() }

// Announce closes the channels that Changed returned, because another gateway published a change.
func (d *Dispatcher) Announce() { d.calls.changed.Send() }

// Leads reports whether this gateway leads an invocation.
func (d *Dispatcher) Leads(id faas.InvocationID) bool { return d.calls.find(id) != nil }
