package command

import (
	"time"

	"golang.org/x/sys/unix"
)

// Stop ends the command: SIGTERM at once, SIGKILL after the grace. A command that has not been started will not start:
// Run returns an error.
func (p *Process) Stop(cause Cause) { p.stop(cause, p.host.grace) }

// Kill ends the command with SIGKILL.
func (p *Process) Kill(cause Cause) { p.stop(cause, 0) }

func (p *Process) stop(cause Cause, grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended && !p.spec.Service {
		return
	}
	if p.cause == "" {
		p.cause = cause
	}
	if p.ended {
		return
	}
	if !p.alive {
		return
	}
	if grace == 0 {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
		return
	}
	if p.killer != nil {
		return
	}
	_ = unix.Kill(-p.pid, unix.SIGTERM)
	_ = unix.Kill(-p.pid, unix.SIGCONT)
	p.killer = time.AfterFunc(grace, func() { p.stop(cause, 0) })
}
