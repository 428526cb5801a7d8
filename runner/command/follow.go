package command

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// headStart is how long a command may run before its output is looked at: one
	// that ends sooner wakes its follower once, not for each pipe that it closes.
	headStart = 2 // ms
	// watchEvery is how often the memory of a command is looked at.
	watchEvery = 100 * time.Millisecond
	// blindEvery is how often an end is looked for where there are no pidfds.
	blindEvery = 5 * time.Millisecond
	// maxDrain is how much output is still read when the command has ended: more
	// than a pipe holds comes from what could not be killed.
	maxDrain = 4 << 20
)

// follow reads output until the main process has ended, and ends it at its timeout.
// One thread waits for all of it: there is nothing to hand over between goroutines.
func (p *Process) follow() {
	if p.pidfd >= 0 {
		fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
		if n, _ := unix.Poll(fds, headStart); n > 0 {
			return
		}
	}
	p.kills = p.host.oom.read()
	var deadline time.Time
	if p.spec.Timeout > 0 {
		deadline = time.Now().Add(p.spec.Timeout)
	}
	for {
		fds := [3]unix.PollFd{
			{Fd: int32(p.pidfd), Events: unix.POLLIN}, //nolint:gosec // descriptors are small
			{Fd: int32(p.log), Events: unix.POLLIN},   //nolint:gosec // as above
			{Fd: int32(p.out), Events: unix.POLLIN},   //nolint:gosec // as above
		}
		_, err := unix.Poll(fds[:], p.pollTime(deadline))
		if err != nil && !errors.Is(err, unix.EINTR) {
			p.stop(CauseCancel, 0) // cannot happen: the descriptors are ours
		}
		if err == nil {
			p.pass(&fds)
		}
		if fds[0].Revents != 0 || p.pidfd < 0 && p.exited() {
			return
		}
		p.check(deadline)
	}
}

// pass reads the output that is there.
func (p *Process) pass(fds *[3]unix.PollFd) {
	if fds[1].Revents != 0 {
		p.readOnce(&p.log, p.spec.Log, nil)
	}
	if fds[2].Revents != 0 {
		p.readOnce(&p.out, p.spec.Log, p.spec.Stdout)
	}
}

// pollTime is how long to wait for anything to happen, in ms; -1: for ever.
func (p *Process) pollTime(deadline time.Time) int {
	wait := time.Duration(-1)
	if !deadline.IsZero() {
		wait = max(time.Until(deadline), 0) + time.Millisecond
	}
	shorten := func(to time.Duration) {
		if wait < 0 || wait > to {
			wait = to
		}
	}
	if p.host.memory > 0 && !p.spec.Service {
		shorten(watchEvery)
	}
	if p.pidfd < 0 {
		shorten(blindEvery)
	}
	if wait < 0 {
		return -1
	}
	const most = time.Hour
	return int(min(wait, most) / time.Millisecond)
}

// check ends a command that is out of time or memory.
func (p *Process) check(deadline time.Time) {
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		p.Stop(CauseTimeout)
	}
	if p.host.memory > 0 && !p.spec.Service && usedMemory(p.pid) > p.host.memory {
		p.stop(CauseMemory, 0)
	}
}

// exited looks for the end of the main process without reaping it.
func (p *Process) exited() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

// readOnce reads what a pipe has and passes it on; it reports whether there was anything.
func (p *Process) readOnce(fd *int, log, out io.Writer) int {
	buf, _ := p.host.buffers.Get().(*[bufferBytes]byte)
	defer p.host.buffers.Put(buf)
	n, err := unix.Read(*fd, buf[:])
	if errors.Is(err, unix.EINTR) {
		return 0
	}
	if n <= 0 {
		_ = unix.Close(*fd)
		*fd = -1
		return 0
	}
	if out != nil {
		if _, err := out.Write(buf[:n]); err != nil {
			p.stop(CauseOutput, 0)
		}
	}
	_, _ = log.Write(buf[:n]) // a log that cannot be written is lost, not the call
	return n
}

// followStrays reads the output of what the service left in the background, until
// nothing holds it open or the service is stopped.
func (p *Process) followStrays() {
	for p.log >= 0 && !p.stopped() {
		fds := []unix.PollFd{{Fd: int32(p.log), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
		if n, _ := unix.Poll(fds, int(watchEvery/time.Millisecond)); n > 0 {
			p.readOnce(&p.log, p.spec.Log, nil)
		}
	}
}

func (p *Process) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause != ""
}

// drain reads what the pipes still hold when the command has ended.
func (p *Process) drain() {
	for total := 0; total < maxDrain && (p.log >= 0 || p.out >= 0); {
		fds := [3]unix.PollFd{
			{Fd: -1},
			{Fd: int32(p.log), Events: unix.POLLIN}, //nolint:gosec // descriptors are small
			{Fd: int32(p.out), Events: unix.POLLIN}, //nolint:gosec // as above
		}
		n, err := unix.Poll(fds[:], 0)
		if n == 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[1].Revents != 0 {
			total += p.readOnce(&p.log, p.spec.Log, nil)
		}
		if fds[2].Revents != 0 {
			total += p.readOnce(&p.out, p.spec.Log, p.spec.Stdout)
		}
	}
}
