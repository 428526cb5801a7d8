package dispatch

import (
	"context"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// missed notes that a kept runner is out of touch.
func (s *scaler) missed(hello *task.Hello) {
	if hello.Start == faas.StartJob {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.ended[hello.Runner]; !ended {
		s.away[hello.Runner] = s.d.Now()
	}
}

// joined notes that a runner is in touch.
func (s *scaler) joined(runner faas.RunnerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.away, runner)
}

// endSilent ends the kept runners that are out of touch for longer than their
// calls wait for them: one that hangs would keep its place for ever.
func (s *scaler) endSilent(ctx context.Context) {
	for _, runner := range s.silent(s.d.Now()) {
		if !s.d.Launcher.Counts(runner) {
			s.joined(runner) // not here, or gone
			continue
		}
		s.d.Logger.Warn("end a runner that is out of touch", "runner", runner, "since", s.d.Limits.Grace.String())
		if err := s.d.Launcher.End(ctx, runner); err != nil {
			s.d.Logger.Warn("end a runner that is out of touch; trying again", "runner", runner, "error", err)
			continue
		}
		s.joined(runner)
	}
}

func (s *scaler) silent(now time.Time) []faas.RunnerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var silent []faas.RunnerID
	for runner, since := range s.away {
		if now.Sub(since) > s.d.Limits.Grace {
			silent = append(silent, runner)
		}
	}
	return silent
}
