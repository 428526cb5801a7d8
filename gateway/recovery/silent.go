package recovery

import "davit/internal/faas"

// retakeUnowned frees the accepted calls that a gateway which died has bound to a runner that never got the whole of
// them: the runner is connected, and does not own them.
func (r *Recoverer) retakeUnowned() {
	unowned := r.o.Retakes.Unowned()
	if len(unowned) == 0 {
		return
	}
	connected := make(map[faas.RunnerID]bool)
	for _, status := range r.o.Hub.Runners() {
		connected[status.Hello.Runner] = true
	}
	for _, c := range unowned {
		if _, owned := r.o.Hub.Owner(c.ID); connected[c.Runner] && !owned {
			r.o.Retakes.Retake(c.ID)
		}
	}
}

// resolveSilent settles the calls whose runner was out of touch for longer than Grace.
func (r *Recoverer) resolveSilent() {
	for _, silent := range r.o.Losses.TakeSilent(r.o.Grace) {
		reason, detail, known := r.o.Launcher.Explain(silent.Runner)
		if !known {
			reason, detail = faas.ReasonRunnerLost, "its runner is out of touch since "+r.o.Grace.String()
		}
		r.o.Losses.Resolve(silent.ID, reason, detail)
	}
}
