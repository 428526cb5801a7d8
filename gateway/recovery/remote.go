package recovery

import (
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// remote is an invocation of another gateway that a runner connected here owns.
type remote struct {
	runner   faas.RunnerID
	record   *faas.Invocation // nil until the runner has reported it
	outcome  *task.Outcome
	uploaded bool
	since    time.Time // of the last report
}

// remotes are the invocations of other gateways that runners connected here own.
type remotes struct {
	now func() time.Time

	mu   sync.Mutex
	byID map[faas.InvocationID]*remote
}

func newRemotes(now func() time.Time) *remotes {
	return &remotes{now: now, byID: make(map[faas.InvocationID]*remote)}
}

// held notes an invocation that a runner reports when it connects.
func (r *remotes) held(runner faas.RunnerID, h *task.Owned) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[h.Record.ID] = &remote{runner: runner, record: h.Record.Clone(), outcome: h.Outcome, uploaded: h.Uploaded, since: r.now()}
}

// forget removes invocations, because their runner has left or their end is in Redis.
func (r *remotes) forget(ids ...faas.InvocationID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.byID, id)
	}
}

// event notes what a runner's event reports of an invocation.
func (r *remotes) event(runner faas.RunnerID, e task.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.byID[e.Invocation]
	if known == nil {
		if e.Record == nil {
			return
		}
		known = &remote{runner: runner}
		r.byID[e.Invocation] = known
	}
	if e.Record != nil {
		known.record = e.Record
	}
	if e.Outcome != nil {
		known.outcome = e.Outcome
	}
	known.uploaded = known.uploaded || e.Kind == task.EventStored
	known.since = r.now()
}

// find returns a copy of what is known of an invocation, or nil.
func (r *remotes) find(id faas.InvocationID) *remote {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.byID[id]; known != nil {
		one := *known
		return &one
	}
	return nil
}

// take returns what is known of an invocation, or nil, and forgets it, because it is led here.
func (r *remotes) take(id faas.InvocationID) *remote {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.byID[id]
	delete(r.byID, id)
	return known
}

// quiet returns copies of the invocations that were reported longer ago than that.
func (r *remotes) quiet(longer time.Duration) map[faas.InvocationID]*remote {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	due := make(map[faas.InvocationID]*remote)
	for id, known := range r.byID {
		if known.record != nil && now.Sub(known.since) > longer {
			one := *known
			due[id] = &one
		}
	}
	return due
}
