package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"davit/internal/faas"
)

// New makes the folders below o.Dir, puts a copy of the runner program there,
// and takes over what an earlier gateway that was killed has left: its live
// runners are counted and ended with this Launcher, the rest is removed. It
// makes this process the reaper of what its runners leave behind.
func New(o Options) (*Launcher, error) {
	l := &Launcher{
		o: o, log: o.Log, asRoot: os.Geteuid() == 0, landlock: landlockABI(o.NoLandlock),
		runners: map[faas.RunnerID]*process{}, jobs: map[faas.InvocationID]*process{},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := l.prepare(); err != nil {
		l.unlock()
		return nil, fmt.Errorf("prepare local launcher in %s: %w", o.Dir, err)
	}
	return l, nil
}

// Run reports the end of each process to exited, once, after it was reaped, and collects sources now and then, until ctx ends.
// Then it starts nothing more, ends all runners (SIGTERM, SIGKILL 10 s later), and returns when none is left. exited must not
// block long; the ends of processes that were taken over and ended before Run come first.
func (l *Launcher) Run(ctx context.Context, exited func(faas.Exit)) error {
	l.exits.reportTo(exited)
	l.runCollector(ctx)
	l.mu.Lock()
	l.closing = true
	all := make([]*process, 0, len(l.runners))
	for _, p := range l.runners {
		all = append(all, p)
	}
	l.mu.Unlock()
	for _, p := range all {
		p.stop(stopGrace)
	}
	l.alive.Wait()
	l.unlock()
	return nil
}
