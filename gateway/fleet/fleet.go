package fleet

import (
	"context"
	"sync/atomic"

	"davit/internal/faas"
)

// Fleet keeps as many standby and warm runners as functions ask for. Its methods may be used by many goroutines at
// once.
type Fleet struct {
	o        Options
	queue    *queue
	demands  *demands
	depths   *depths
	presence *presence
	backoffs *backoffs
	election *election
	firsts   *firsts
	readier  *readier
	exits    *exitPublisher
	stopping atomic.Bool
	stop     context.CancelFunc // ends publications
}

// hasNews reports whether the leader must be told something, or must ask.
func (f *Fleet) hasNews() bool {
	return f.queue.isStale() || f.demands.isChanged() && !f.election.leads()
}

// wanted returns the revision if its runners are of use, because it is live or because there is demand for it, and how
// many runners stay however idle they are.
func (f *Fleet) wanted(ref faas.RevisionRef) (rev *faas.Revision, least int) {
	all := f.demands.of(ref)
	if all.rev != nil {
		rev, least = all.rev, min(all.pins, 1)
	}
	live, err := f.o.Catalog.Live(ref.Function)
	if err == nil && live.Ref() == ref && live.Spec.LooseMode() != faas.ModeJob {
		rev, least = live, max(min(all.pins, 1), live.Spec.Warm.Min)
	}
	return rev, least
}

// depth is how many standby runners of a revision should be parked.
func (f *Fleet) depth(rev *faas.Revision) int {
	return f.depths.of(rev, f.demands.of(rev.Ref()).rate)
}
