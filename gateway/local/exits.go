package local

import (
	"sync"

	"davit/internal/faas"
)

// exits reports the ends of processes, and keeps the exits from before Run.
type exits struct {
	mu     sync.Mutex
	exited func(faas.Exit) // given to Run; nil before
	early  []faas.Exit     // of processes that ended before Run
}

// reportTo reports the kept exits to exited, and then all later exits.
func (e *exits) reportTo(exited func(faas.Exit)) {
	for {
		e.mu.Lock()
		early := e.early
		e.early = nil
		if len(early) == 0 {
			e.exited = exited
		}
		e.mu.Unlock()
		if len(early) == 0 {
			return
		}
		for _, exit := range early {
			exited(exit)
		}
	}
}

// report reports an exit, or keeps it for Run.
func (e *exits) report(exit faas.Exit) {
	e.mu.Lock()
	exited := e.exited
	if exited == nil {
		e.early = append(e.early, exit)
	}
	e.mu.Unlock()
	if exited != nil {
		exited(exit)
	}
}
