package dispatch

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"davit/internal/faas"
)

// demand is what is wanted of a revision's kept runners.
type demand struct {
	rev     *faas.Revision
	waiting int // for a slot
	keepers int // that are about to make it live
	jobs    int // calls that wait for a standby, or for the Job that was made for them
	rate    float64
}

// expect notes a call that waits for a warm slot; done takes it back.
func (s *scaler) expect(rev *faas.Revision) (done func()) {
	s.ask(rev, demand{waiting: 1})
	s.touch(rev.Ref(), false)
	return func() { s.ask(rev, demand{waiting: -1}) }
}

// cover notes a call that has a Job made since there was no standby. Room for
// standbys is better used when it has its slot, which done tells.
func (s *scaler) cover(rev *faas.Revision) (done func()) {
	s.ask(rev, demand{jobs: 1})
	return func() {
		s.ask(rev, demand{jobs: -1})
		s.touch(rev.Ref(), false)
	}
}

// keep has a runner of a revision brought up and stay though it is not live, and
// forgets how earlier ones failed. After release they go, unless it is live by then.
func (s *scaler) keep(rev *faas.Revision) (release func()) {
	ref := rev.Ref()
	s.ask(rev, demand{keepers: 1})
	s.mu.Lock()
	delete(s.failing, ref)
	s.mu.Unlock()
	s.touch(ref, false)
	return sync.OnceFunc(func() {
		s.ask(rev, demand{keepers: -1})
		s.touch(ref, true)
	})
}

// ask changes the demand for a revision.
func (s *scaler) ask(rev *faas.Revision, more demand) {
	ref := rev.Ref()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaid = true
	w := s.demand[ref]
	if w == nil {
		w = &demand{rev: rev}
		s.demand[ref] = w
	}
	w.waiting += more.waiting
	w.keepers += more.keepers
	w.jobs += more.jobs
	if w.waiting == 0 && w.keepers == 0 && w.jobs == 0 {
		delete(s.demand, ref)
	}
}

// own is this gateway's demand, as it is told to the others.
func (s *scaler) own() []faas.Demand {
	s.mu.Lock()
	s.unsaid = false
	own := make([]faas.Demand, 0, len(s.demand))
	revs := make([]*faas.Revision, 0, len(s.demand))
	for ref, w := range s.demand {
		own = append(own, faas.Demand{Function: ref.Function, Revision: ref.Number, Waiting: w.waiting, Jobs: w.jobs, Keepers: w.keepers})
		revs = append(revs, w.rev)
	}
	for ref, p := range s.paces {
		own = append(own, faas.Demand{Function: ref.Function, Revision: ref.Number, Rate: math.Round(p.rate*10) / 10})
		revs = append(revs, p.rev)
	}
	s.mu.Unlock()
	slices.SortStableFunc(own, func(a, b faas.Demand) int { return strings.Compare(string(a.Function), string(b.Function)) })
	for i := range own {
		live, err := s.d.Catalog.Live(own[i].Function)
		if err != nil || live.Number != own[i].Revision {
			own[i].Of = revs[i]
		}
	}
	return own
}

// hear takes over what the other gateways want; s.mu is held. A revision that
// they do not want to make live any more is left soon, unless it is live then.
func (s *scaler) hear(others []faas.Demand) {
	before := s.others
	s.others = sumOf(others)
	for ref, w := range s.others {
		was := before[ref]
		if was == nil {
			was = &demand{}
		}
		if w.keepers > 0 && was.keepers == 0 { // a new try
			delete(s.failing, ref)
			delete(s.leaving, ref)
		}
		if was.waiting != w.waiting || was.keepers != w.keepers || was.jobs != w.jobs {
			leaves := s.touched[ref]
			s.touched[ref] = leaves
		}
	}
	for ref, was := range before {
		if s.others[ref] == nil && was.keepers > 0 {
			s.leaving[ref] = s.d.Now()
		}
	}
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
		w.keepers += one.Keepers
		w.jobs += one.Jobs
		w.rate += one.Rate
		if one.Of != nil {
			w.rev = one.Of
		}
	}
	return sum
}

// asked returns what is wanted of a revision's runners, on all gateways.
func (s *scaler) asked(ref faas.RevisionRef) (all demand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range []*demand{s.demand[ref], s.others[ref]} {
		if w != nil {
			all.waiting += w.waiting
			all.keepers += w.keepers
			all.jobs += w.jobs
		}
	}
	return all
}

// wanted returns the revision when its runners are of use, since it is live or
// somebody waits for it, and how many are to stay however idle they are.
func (s *scaler) wanted(ref faas.RevisionRef) (rev *faas.Revision, least int) {
	keepers := s.asked(ref).keepers
	s.mu.Lock()
	for _, w := range []*demand{s.others[ref], s.demand[ref]} {
		if w != nil && w.rev != nil {
			rev, least = w.rev, min(keepers, 1)
		}
	}
	s.mu.Unlock()
	live, err := s.d.Catalog.Live(ref.Function)
	if err == nil && live.Ref() == ref && live.Spec.LooseMode() != faas.ModeJob {
		rev, least = live, max(min(keepers, 1), live.Spec.Warm.Min)
	}
	return rev, least
}

// refs are the revisions that somebody asks for.
func (s *scaler) refs() []faas.RevisionRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs := make([]faas.RevisionRef, 0, len(s.demand)+len(s.others))
	for ref := range s.demand {
		refs = append(refs, ref)
	}
	for ref := range s.others {
		if s.demand[ref] == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// left returns the revisions that the others gave up long enough ago to be live
// here, if they were to be.
func (s *scaler) left(now time.Time) []faas.RevisionRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	var refs []faas.RevisionRef
	for ref, since := range s.leaving {
		if now.Sub(since) > strayFor {
			refs = append(refs, ref)
			delete(s.leaving, ref)
		}
	}
	return refs
}
