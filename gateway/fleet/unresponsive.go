package fleet

import "context"

// endUnresponsive ends the kept runners that are out of touch for longer than their calls wait for them: a runner that
// hangs would never give its slots back.
func (f *Fleet) endUnresponsive(ctx context.Context) {
	for _, runner := range f.presence.outOfTouch(f.o.Now(), f.o.Grace) {
		if !f.o.Ender.Counts(runner) {
			f.presence.joined(runner) // another launcher's, or gone
			continue
		}
		f.o.Log.Warn("ending a runner that is out of touch", "runner", runner, "since", f.o.Grace.String())
		if err := f.o.Ender.End(ctx, runner); err != nil {
			f.o.Log.Warn("ending a runner that is out of touch failed; retrying", "runner", runner, "error", err)
			continue
		}
		f.presence.joined(runner)
	}
}
