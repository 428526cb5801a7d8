package dispatch

import (
	"math"
	"time"

	"davit/internal/faas"
)

const (
	// paceLeft is what is left of a call rate a second later: bursts are remembered for a while.
	paceLeft = 0.9
	// paceLeast is below what rate there is none.
	paceLeast = 0.05
	// spare is how many times the calls of one refill are parked: they do not come evenly.
	spare = 2
	// usualFill is how long a runner takes to be ready, as long as none was seen.
	usualFill = time.Second
	fillsFor  = 10 * time.Minute
)

// pace is how many calls a second take standby slots of a revision, here.
type pace struct {
	rev  *faas.Revision
	now  int     // in this second
	rate float64 // lately, the most
}

// fill is how long runners of a group take from their start until they are ready.
type fill struct {
	begun []time.Time // of those that are not ready yet, oldest first
	took  time.Duration
	last  time.Time
}

// calls notes a call, where the depth of standby runners follows demand.
func (s *scaler) calls(c *call) {
	keep := c.rev.Spec.Standby
	if keep == nil || keep.Min >= keep.Max || c.mode() != faas.ModeStandby {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paces[c.rev.Ref()]
	if p == nil {
		p = &pace{rev: c.rev}
		s.paces[c.rev.Ref()] = p
	}
	p.now++
}

// tickPaces is to be called each second.
func (s *scaler) tickPaces() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, p := range s.paces {
		p.rate = max(float64(p.now), p.rate*paceLeft)
		p.now = 0
		if p.rate < paceLeast {
			delete(s.paces, ref)
		}
	}
}

// depth is how many standby runners of a revision are to be parked: between min and
// max, so many as calls come while one that was taken is replaced.
func (s *scaler) depth(rev *faas.Revision) int {
	keep := rev.Spec.Standby
	if keep == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rate, took := 0.0, usualFill
	if p := s.paces[rev.Ref()]; p != nil {
		rate += max(p.rate, float64(p.now))
	}
	if o := s.others[rev.Ref()]; o != nil {
		rate += o.rate
	}
	if f := s.fills[group{rev.Ref(), faas.StartStandby}]; f != nil && f.took > 0 {
		took = f.took
	}
	return min(max(int(math.Ceil(spare*rate*took.Seconds())), keep.Min), keep.Max)
}

// started notes that runners of a group are being started.
func (s *scaler) started(of group, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fills[of]
	if f == nil {
		f = &fill{}
		s.fills[of] = f
	}
	f.last = s.d.Now()
	for range n {
		f.begun = append(f.begun, f.last)
	}
}

// filled notes that one of them is ready, or ended before, and returns how long it took.
func (s *scaler) filled(of group, ready bool) (took time.Duration, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fills[of]
	if f == nil || len(f.begun) == 0 {
		return 0, false
	}
	took = s.d.Now().Sub(f.begun[0])
	f.begun = f.begun[1:]
	if !ready {
		return 0, false
	}
	if f.took == 0 {
		f.took = took
	}
	f.took += (took - f.took) / 4
	return took, true
}
