package fleet

import (
	"sync"

	"davit/internal/faas"
	"davit/internal/signal"
)

// queue holds the revisions to scale before the next tick, and wakes Run.
type queue struct {
	wake signal.Wake

	mu      sync.Mutex
	touched map[faas.RevisionRef]bool // true: drain its runners if there is no demand for them
	starved map[faas.RevisionRef]bool // revisions that the installation's limit denied a runner
	stale   bool                      // the demand of others has changed, or nobody leads
}

func newQueue() *queue {
	return &queue{wake: signal.NewWake(), touched: make(map[faas.RevisionRef]bool), starved: make(map[faas.RevisionRef]bool)}
}

// touch scales a revision soon. With drain, its runners are drained if there is no demand for them.
func (q *queue) touch(ref faas.RevisionRef, drain bool) {
	q.mu.Lock()
	q.touched[ref] = q.touched[ref] || drain
	q.mu.Unlock()
	q.wake.Set()
}

// touchAll scales revisions soon; whether their runners are drained stays as it is.
func (q *queue) touchAll(refs []faas.RevisionRef) {
	for _, ref := range refs {
		q.touch(ref, false)
	}
}

// take returns the touched revisions, and forgets them.
func (q *queue) take() map[faas.RevisionRef]bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	refs := q.touched
	q.touched = make(map[faas.RevisionRef]bool)
	return refs
}

// setStarved notes whether the installation's limit denied a revision a runner.
func (q *queue) setStarved(ref faas.RevisionRef, starved bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if starved {
		q.starved[ref] = true
	} else {
		delete(q.starved, ref)
	}
}

// touchStarved scales the starved revisions again.
func (q *queue) touchStarved() {
	q.mu.Lock()
	refs := make([]faas.RevisionRef, 0, len(q.starved))
	for ref := range q.starved {
		refs = append(refs, ref)
	}
	clear(q.starved)
	q.mu.Unlock()
	q.touchAll(refs)
}

// setStale notes whether demand must be shared although this gateway's has not changed.
func (q *queue) setStale(stale bool) {
	q.mu.Lock()
	q.stale = stale
	q.mu.Unlock()
	if stale {
		q.wake.Set()
	}
}

func (q *queue) isStale() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stale
}
