package fleet

import (
	"maps"
	"sync"
	"time"

	"davit/internal/faas"
)

// exitDedup is how long an exit is remembered: each is reported twice, by the runner's event and by the launcher.
const exitDedup = time.Minute

// presence remembers since when kept runners are idle, out of touch, or ended.
type presence struct {
	mu    sync.Mutex
	idle  map[faas.RunnerID]time.Time
	away  map[faas.RunnerID]time.Time
	ended map[faas.RunnerID]time.Time // by the first report
}

func newPresence() *presence {
	return &presence{idle: make(map[faas.RunnerID]time.Time), away: make(map[faas.RunnerID]time.Time), ended: make(map[faas.RunnerID]time.Time)}
}

// joined notes that a runner is connected.
func (p *presence) joined(runner faas.RunnerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.away, runner)
}

// left notes that a runner's connections are gone.
func (p *presence) left(runner faas.RunnerID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ended := p.ended[runner]; !ended {
		p.away[runner] = now
	}
}

// exited notes that a runner has ended, and reports whether that is news. An exit without a runner, and one of a job,
// which is reported once, are always news.
func (p *presence) exited(e *faas.Exit, now time.Time) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.idle, e.Runner)
	delete(p.away, e.Runner)
	if _, reported := p.ended[e.Runner]; reported {
		return false
	}
	if e.Runner != "" && e.Start != faas.StartJob {
		p.ended[e.Runner] = now
	}
	return true
}

// outOfTouch returns the runners that have been away for longer than grace.
func (p *presence) outOfTouch(now time.Time, grace time.Duration) []faas.RunnerID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var runners []faas.RunnerID
	for runner, since := range p.away {
		if now.Sub(since) > grace {
			runners = append(runners, runner)
		}
	}
	return runners
}

// markBusy notes that a runner has calls, or has not parked yet.
func (p *presence) markBusy(runner faas.RunnerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.idle, runner)
}

// idleSince returns since when a runner is idle; from now on, if it was busy before.
func (p *presence) idleSince(runner faas.RunnerID, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, known := p.idle[runner]
	if !known {
		p.idle[runner] = now
		return now
	}
	return since
}

// tidy forgets exits that are old, and the idle times of runners that are not connected.
func (p *presence) tidy(now time.Time, connected map[faas.RunnerID]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.ended, func(_ faas.RunnerID, at time.Time) bool { return now.Sub(at) > exitDedup })
	maps.DeleteFunc(p.idle, func(runner faas.RunnerID, _ time.Time) bool { return !connected[runner] })
}
