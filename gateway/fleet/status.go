package fleet

import "davit/internal/faas"

// Leads reports whether this gateway decides how many runners are kept, for all gateways.
func (f *Fleet) Leads() bool { return f.election.leads() }

// Slots returns the slots of a revision by how they were started, including the slots of runners that this gateway's
// launcher has started and that have not connected yet.
func (f *Fleet) Slots(ref faas.RevisionRef) map[faas.Start]faas.SlotCounts {
	all := f.o.Runners.Slots(ref)
	for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
		starting := f.o.Launcher.Running(ref, start)
		for _, runner := range f.o.Runners.Connected(ref, start) {
			if f.o.Launcher.Counts(runner) {
				starting--
			}
		}
		if c := all[start]; starting > 0 {
			c.Starting += starting * f.slotsEach(ref, start)
			all[start] = c
		}
	}
	return all
}

// Starting counts the slots of kept runners of live revisions that are starting.
func (f *Fleet) Starting() int {
	n := 0
	for _, rev := range f.o.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() == faas.ModeJob {
			continue
		}
		for _, c := range f.Slots(rev.Ref()) {
			n += c.Starting
		}
	}
	return n
}

// slotsEach is how many slots a runner of a live revision has.
func (f *Fleet) slotsEach(ref faas.RevisionRef, start faas.Start) int {
	live, err := f.o.Catalog.Live(ref.Function)
	if err != nil || live.Ref() != ref || live.Spec.Warm == nil || start != faas.StartWarm {
		return 1
	}
	return max(live.Spec.Warm.Concurrency, 1)
}
