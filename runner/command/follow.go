package command

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// headStart is how long a command may run before its output is read: a command that ends sooner wakes follow once,
	// not for each pipe that it closes.
	headStart = 2 // ms
	// watchEvery is the time between two readings of a command's memory.
	watchEvery = 100 * time.Millisecond
	// checkEvery is the time between two checks for a command's end without pidfds.
	checkEvery = 5 * time.Millisecond
	// maxDrain is how many bytes of output are read after the command has ended: more than a pipe's buffer comes from a
	// process that could not be killed.
	maxDrain = 4 << 20
)

// follow reads output until the main process has ended, and ends the process at its timeout. One thread waits for both
// pipes and the process, because passing data between goroutines would cost wake-ups.
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

// pass reads the output that is available.
func (p *Process) pass(fds *[3]unix.PollFd) {
	if fds[1].Revents != 0 {
		p.readOnce(&p.log, p.spec.Log, nil)
	}
	if fds[2].Revents != 0 {
		p.readOnce(&p.out, p.spec.Log, p.spec.Stdout)
	}
}

// pollTime returns the timeout for poll in milliseconds; -1: none.
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
		shorten(checkEvery)
	}
	if wait < 0 {
		return -1
	}
	const most = time.Hour
	return int(min(wait, most) / time.Millisecond)
}

// check ends a command that exceeds its timeout or its memory.
func (p *Process) check(deadline time.Time) {
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		p.Stop(CauseTimeout)
	}
	if p.host.memory > 0 && !p.spec.Service && usedMemory(p.pid) > p.host.memory {
		p.stop(CauseMemory, 0)
	}
}

// exited reports whether the main process has ended, without reaping it.
func (p *Process) exited() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

// readOnce reads once from a pipe, writes the bytes to out and log, and returns their number. At the pipe's end it
// closes the pipe.
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
	_, _ = log.Write(buf[:n]) // a log that cannot be written must not fail the call
	return n
}

// followOrphans reads the output of the processes that the service left, until none of them has it open or the service
// is stopped.
func (p *Process) followOrphans() {
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

// drain reads the rest of the pipes after the command has ended.
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
