package hub

import (
	"cmp"
	"maps"
	"slices"

	"davit/internal/faas"
	"davit/internal/task"
)

// Status is what the hub knows of one connected runner.
type Status struct {
	Hello    task.Hello // without Owned and Free
	Free     int
	Busy     int
	Draining bool
	Parked   bool                // it has parked a slot at least once
	Owned    []faas.InvocationID // sorted
}

// Working reports whether the runner has calls, or has not parked yet.
func (s *Status) Working() bool { return s.Busy > 0 || s.Free == 0 }

// Slots counts a revision's slots by the start of their runners; draining runners have no free ones.
func (h *Hub) Slots(ref faas.RevisionRef) map[faas.Start]faas.SlotCounts {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	all := map[faas.Start]faas.SlotCounts{}
	p := h.roster.pools[ref]
	if p == nil {
		return all
	}
	for r := range p.runners {
		if r.control == nil {
			continue
		}
		c := all[r.hello.Start]
		free, busy := r.count()
		c.Runners, c.Free, c.Busy = c.Runners+1, c.Free+free, c.Busy+busy
		if !r.parked {
			c.Starting += r.hello.Slots
		}
		all[r.hello.Start] = c
	}
	return all
}

// Connected returns the connected runners of a revision with that start.
func (h *Hub) Connected(ref faas.RevisionRef, start faas.Start) []faas.RunnerID {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	p := h.roster.pools[ref]
	if p == nil {
		return nil
	}
	var all []faas.RunnerID
	for r := range p.runners {
		if r.control != nil && r.hello.Start == start {
			all = append(all, r.hello.Runner)
		}
	}
	return all
}

// HasParked reports whether the runner has parked a slot at this gateway.
func (h *Hub) HasParked(id faas.RunnerID) bool {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	r := h.roster.runners[id]
	return r != nil && r.parked
}

// Hello returns the hello of a connected runner, without Owned and Free.
func (h *Hub) Hello(id faas.RunnerID) (hello task.Hello, connected bool) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	r := h.roster.runners[id]
	if r == nil || r.control == nil {
		return task.Hello{}, false
	}
	return r.hello, true
}

// count returns how many slots a claim would get, and how many are taken.
func (r *runner) count() (free, busy int) {
	return r.offers(), r.hello.Slots - r.open()
}

// Runners returns the connected runners, sorted by id.
func (h *Hub) Runners() []Status {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	var all []Status
	for _, r := range h.roster.runners {
		if r.control == nil {
			continue
		}
		s := Status{Hello: r.hello, Draining: r.draining, Parked: r.parked, Owned: slices.Sorted(maps.Keys(r.held))}
		s.Free, s.Busy = r.count()
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Hello.Runner, b.Hello.Runner) })
	return all
}
