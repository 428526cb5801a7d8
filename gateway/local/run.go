package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"davit/internal/faas"
)

// New makes the folders below o.Dir, copies the runner program there, and takes over the folders of gateways that were
// killed: it counts their live runners, which end with this Launcher, and removes the other files. New makes this
// process the reaper of the processes that its runners leave.
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

// Run calls exited once for each process, after it was reaped, and collects sources once an hour, until ctx ends. Then
// the Launcher starts no more runners, Run ends all runners (SIGTERM, SIGKILL 10 s later), and returns when none is
// left. exited must not block long. Exits of processes that ended before Run come first.
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
