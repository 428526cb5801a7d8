package fleet

import (
	"maps"
	"math"
	"sync"
	"time"

	"davit/internal/faas"
)

const (
	// paceKept is the part of a call rate that remains a second later, so that bursts are remembered for a while.
	paceKept = 0.9
	// paceLeast is the rate below which a revision has none.
	paceLeast = 0.05
	// spare is how many times the calls of one refill are parked, because calls do not arrive evenly.
	spare = 2
	// usualFill is how long a runner takes to be ready, as long as none was measured.
	usualFill = time.Second
	// fillsFor is how long the measured start time of a group is kept after its last start.
	fillsFor = 10 * time.Minute
)

// group is the runners of one revision and start.
type group struct {
	ref   faas.RevisionRef
	start faas.Start
}

// pace is how many calls a second take standby slots of a revision on this gateway.
type pace struct {
	rev  *faas.Revision
	now  int     // in this second
	rate float64 // the recent maximum
}

// fill is how long the runners of a group take from their start until they are ready.
type fill struct {
	begun []time.Time // starts of runners that are not ready yet, oldest first
	took  time.Duration
	last  time.Time
}

// rateOf is a revision's call rate, for publication.
type rateOf struct {
	rev  *faas.Revision
	rate float64
}

// depths computes how many standby runners are parked, from the rate of calls and from how long a refill takes.
type depths struct {
	now func() time.Time

	mu    sync.Mutex
	paces map[faas.RevisionRef]*pace // of functions whose depth follows demand
	fills map[group]*fill
}

func newDepths(now func() time.Time) *depths {
	return &depths{now: now, paces: make(map[faas.RevisionRef]*pace), fills: make(map[group]*fill)}
}

// note counts a call that takes a standby slot, where the depth follows demand.
func (d *depths) note(rev *faas.Revision) {
	keep := rev.Spec.Standby
	if keep == nil || keep.Min >= keep.Max {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.paces[rev.Ref()]
	if p == nil {
		p = &pace{rev: rev}
		d.paces[rev.Ref()] = p
	}
	p.now++
}

// tick ends a second of counting.
func (d *depths) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ref, p := range d.paces {
		p.rate = max(float64(p.now), p.rate*paceKept)
		p.now = 0
		if p.rate < paceLeast {
			delete(d.paces, ref)
		}
	}
}

// rates returns the call rates of this gateway, to a tenth of a call.
func (d *depths) rates() []rateOf {
	d.mu.Lock()
	defer d.mu.Unlock()
	rates := make([]rateOf, 0, len(d.paces))
	for _, p := range d.paces {
		rates = append(rates, rateOf{p.rev, math.Round(p.rate*10) / 10})
	}
	return rates
}

// of returns how many standby runners of a revision should be parked: between min and max, as many as calls arrive
// while one is replaced. elsewhere is the call rate on the other gateways.
func (d *depths) of(rev *faas.Revision, elsewhere float64) int {
	keep := rev.Spec.Standby
	if keep == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rate, took := elsewhere, usualFill
	if p := d.paces[rev.Ref()]; p != nil {
		rate += max(p.rate, float64(p.now))
	}
	if f := d.fills[group{rev.Ref(), faas.StartStandby}]; f != nil && f.took > 0 {
		took = f.took
	}
	return min(max(int(math.Ceil(spare*rate*took.Seconds())), keep.Min), keep.Max)
}

// started notes that n runners of a group are starting.
func (d *depths) started(of group, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.fills[of]
	if f == nil {
		f = &fill{}
		d.fills[of] = f
	}
	f.last = d.now()
	for range n {
		f.begun = append(f.begun, f.last)
	}
}

// failed notes that a runner of the group ended before it was ready.
func (d *depths) failed(of group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.fills[of]; f != nil && len(f.begun) > 0 {
		f.begun = f.begun[1:]
	}
}

// filled notes that a runner of the group is ready, and returns how long that took, if its start is known.
func (d *depths) filled(of group) (took time.Duration, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.fills[of]
	if f == nil || len(f.begun) == 0 {
		return 0, false
	}
	took = d.now().Sub(f.begun[0])
	f.begun = f.begun[1:]
	if f.took == 0 {
		f.took = took
	}
	f.took += (took - f.took) / 4
	return took, true
}

// tidy forgets measurements that are old.
func (d *depths) tidy() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	maps.DeleteFunc(d.fills, func(_ group, f *fill) bool { return now.Sub(f.last) > fillsFor })
}
