package dispatch

import (
	"context"

	"davit/internal/faas"
)

// Two gateways may both lead an invocation for a while: one that seemed dead was
// only slow. Redis decides who ends it; the other one leaves it then.

// EndHeard leaves an invocation that is led here to the gateway that published its end.
func (d *Dispatcher) EndHeard(id faas.InvocationID) {
	if c := d.find(id); c != nil && !c.isFinal() {
		d.background(func(ctx context.Context) { d.leaveIfEnded(ctx, c) })
	}
}

// leaveEnded does so for adopted invocations whose end was published while nothing could be heard.
func (d *Dispatcher) leaveEnded(ctx context.Context) {
	d.mu.Lock()
	var adopted []*call
	for _, c := range d.calls {
		if c.req == nil && !c.isFinal() {
			adopted = append(adopted, c)
		}
	}
	d.mu.Unlock()
	for _, c := range adopted {
		d.leaveIfEnded(ctx, c)
	}
}

func (d *Dispatcher) leaveIfEnded(ctx context.Context, c *call) {
	record, err := d.Records.FindInvocation(ctx, c.id)
	if err != nil || !record.State.Final() || !c.endsAs(record) {
		return
	}
	d.Meter.Released()
	d.Logger.Info("another gateway ended an invocation that is led here", "invocation", c.id, "state", record.State)
	c.cancel(errEnded)
	d.dismiss(c)
	d.freePlace(c.id)
	d.forget(c)
	c.input.set()
	c.tellEnd()
}

// endsAs takes a final record over, unless the call has ended here: then the recorder finds out whose end stands.
func (c *call) endsAs(record *faas.Invocation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inv.State.Final() {
		return false
	}
	c.inv, c.saved = record, true
	c.stored.set()
	return true
}
