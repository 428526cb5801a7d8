package fleet

import (
	"slices"
	"strings"
	"sync"
	"time"

	"davit/internal/faas"
)

// spareFor is how long an idle runner is kept whose revision is not wanted here, because another gateway may be about
// to make that revision live.
const spareFor = 5 * time.Second

// demand is what calls and registrations want of a revision's kept runners.
type demand struct {
	rev     *faas.Revision // nil in the demand of others, unless it is not live there
	waiting int            // calls that wait for a warm slot
	pins    int            // registrations that wait for the first runner
	jobs    int            // calls that started a job because no standby was free
	rate    float64        // calls a second that take standby slots
}

// demands holds the demand of this gateway and, on the leader, of the others.
type demands struct {
	mu      sync.Mutex
	own     map[faas.RevisionRef]*demand
	changed bool // own has changed since it was published
	others  map[faas.RevisionRef]*demand
	dropped map[faas.RevisionRef]time.Time // when the last registration elsewhere stopped to wait for the revision
}

func newDemands() *demands {
	return &demands{own: make(map[faas.RevisionRef]*demand), dropped: make(map[faas.RevisionRef]time.Time)}
}

// add changes this gateway's demand for a revision.
func (d *demands) add(rev *faas.Revision, more demand) {
	ref := rev.Ref()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = true
	w := d.own[ref]
	if w == nil {
		w = &demand{rev: rev}
		d.own[ref] = w
	}
	w.waiting += more.waiting
	w.pins += more.pins
	w.jobs += more.jobs
	if w.waiting == 0 && w.pins == 0 && w.jobs == 0 {
		delete(d.own, ref)
	}
}

// isChanged reports whether this gateway's demand differs from what was published.
func (d *demands) isChanged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// markChanged notes that publishing failed.
func (d *demands) markChanged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = true
}

// publish returns this gateway's demand for publication, with the call rates, ordered by function. A revision that is
// not live is sent along, because other gateways may not know it yet.
func (d *demands) publish(rates []rateOf, live func(faas.FunctionName) (*faas.Revision, error)) []faas.Demand {
	d.mu.Lock()
	d.changed = false
	own := make([]faas.Demand, 0, len(d.own)+len(rates))
	revs := make([]*faas.Revision, 0, cap(own))
	for ref, w := range d.own {
		own = append(own, faas.Demand{Function: ref.Function, Revision: ref.Number, Waiting: w.waiting, Jobs: w.jobs, Pins: w.pins})
		revs = append(revs, w.rev)
	}
	d.mu.Unlock()
	for _, r := range rates {
		own = append(own, faas.Demand{Function: r.rev.Function, Revision: r.rev.Number, Rate: r.rate})
		revs = append(revs, r.rev)
	}
	for i := range own {
		if rev, err := live(own[i].Function); err != nil || rev.Number != own[i].Revision {
			own[i].Of = revs[i]
		}
	}
	slices.SortStableFunc(own, func(a, b faas.Demand) int { return strings.Compare(string(a.Function), string(b.Function)) })
	return own
}

// setOthers replaces the demand of the other gateways. It returns the revisions whose demand changed, and those that
// another gateway begins to make live: their earlier failures are void. A revision that no other gateway wants to make
// live any more is dropped a little later, unless it is live by then.
func (d *demands) setOthers(others []faas.Demand, now time.Time) (changed, begun []faas.RevisionRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.others
	d.others = sumOf(others)
	for ref, w := range d.others {
		was := before[ref]
		if was == nil {
			was = &demand{}
		}
		if w.pins > 0 && was.pins == 0 {
			begun = append(begun, ref)
			delete(d.dropped, ref)
		}
		if was.waiting != w.waiting || was.pins != w.pins || was.jobs != w.jobs {
			changed = append(changed, ref)
		}
	}
	for ref, was := range before {
		if d.others[ref] == nil && was.pins > 0 {
			d.dropped[ref] = now
		}
	}
	return changed, begun
}

// clearOthers forgets the demand of the other gateways, because another gateway leads.
func (d *demands) clearOthers() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.others = nil
}

func sumOf(all []faas.Demand) map[faas.RevisionRef]*demand {
	sum := make(map[faas.RevisionRef]*demand, len(all))
	for i := range all {
		one := &all[i]
		w := sum[one.Ref()]
		if w == nil {
			w = &demand{}
			sum[one.Ref()] = w
		}
		w.waiting += one.Waiting
		w.pins += one.Pins
		w.jobs += one.Jobs
		w.rate += one.Rate
		if one.Of != nil {
			w.rev = one.Of
		}
	}
	return sum
}

// of returns the demand of all gateways for a revision; its rate is that of the other gateways alone.
func (d *demands) of(ref faas.RevisionRef) (all demand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range []*demand{d.others[ref], d.own[ref]} {
		if w == nil {
			continue
		}
		all.waiting += w.waiting
		all.pins += w.pins
		all.jobs += w.jobs
		all.rate += w.rate
		if w.rev != nil {
			all.rev = w.rev
		}
	}
	return all
}

// refs returns the revisions for which there is any demand.
func (d *demands) refs() []faas.RevisionRef {
	d.mu.Lock()
	defer d.mu.Unlock()
	refs := make([]faas.RevisionRef, 0, len(d.own)+len(d.others))
	for ref := range d.own {
		refs = append(refs, ref)
	}
	for ref := range d.others {
		if d.own[ref] == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// takeDropped returns the revisions that other gateways dropped longer than spareFor ago, each once.
func (d *demands) takeDropped(now time.Time) []faas.RevisionRef {
	d.mu.Lock()
	defer d.mu.Unlock()
	var refs []faas.RevisionRef
	for ref, since := range d.dropped {
		if now.Sub(since) > spareFor {
			refs = append(refs, ref)
			delete(d.dropped, ref)
		}
	}
	return refs
}
