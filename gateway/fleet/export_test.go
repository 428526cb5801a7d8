package fleet

import (
	"context"
	"io"

	"davit/internal/faas"
)

// MostLost is how many runners of a new revision may end before one has parked.
const MostLost = mostLost

// ScaleAll scales every revision.
func (f *Fleet) ScaleAll(ctx context.Context) { f.scaleAll(ctx) }

// ScaleRevision starts the runners that a revision lacks.
func (f *Fleet) ScaleRevision(ctx context.Context, rev *faas.Revision) { f.scaleRevision(ctx, rev) }

// RunnersOf returns the connected runners of a revision.
func (f *Fleet) RunnersOf(ref faas.RevisionRef) map[faas.RunnerID]bool {
	return f.readier.runnersOf(ref)
}

// WaitFirst waits for a first runner beside the others; failed gets why it ends.
func (f *Fleet) WaitFirst(ref faas.RevisionRef, others map[faas.RunnerID]bool, log io.Writer, failed func(error)) (leave func()) {
	waiting := &first{ref: ref, others: others, log: log, cancel: failed}
	f.firsts.enter(waiting)
	return func() { f.firsts.leave(waiting) }
}
