package command

// New returns a command that has not started: Run starts it.
func (h *Host) New(spec Spec) *Process {
	return &Process{host: h, spec: spec, pidfd: -1, log: -1, out: -1, kills: -1}
}
