package recovery

import "davit/internal/faas"

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
