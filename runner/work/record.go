package work

import (
	"sync"
	"time"

	"davit/internal/faas"
)

// record is the invocation's record, as far as the runner knows it.
type record struct {
	mu    sync.Mutex
	known faas.Invocation
}

func (r *record) set(known *faas.Invocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = *known
}

func (r *record) clone() *faas.Invocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.Clone()
}

// addInputTime adds to the time that reading the input took.
func (r *record) addInputTime(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known.Phases.Input += faas.Duration(took)
}

func (r *record) inputTime() faas.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.Phases.Input
}

// setInputStored records that the input is stored, and returns its description.
func (r *record) setInputStored() *faas.Input {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := *r.known.Input
	in.Stored = true
	r.known.Input = &in
	return &in
}
