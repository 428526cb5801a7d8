package command

import (
	"errors"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run starts the command, reads its output until it ends, and kills the processes that it leaves. Run must be called
// only once.
func (p *Process) Run() End {
	// Keep this thread, because the kernel kills the command when the thread that started it ends (Pdeathsig).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var end End
	p.host.recordService()
	end.StartedAt = p.host.now()
	if err := p.start(); err != nil {
		end.Err, end.EndedAt, end.Cause = err, p.host.now(), p.finish()
		return end
	}
	defer p.closeAll()
	p.follow()
	end.EndedAt = p.host.now()
	end.Cause = p.finish()
	if p.spec.Service {
		p.describeEnd(&end, p.reap())
		p.drain()
		p.spec.Exited(end)
		p.followOrphans()
		return end
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL) // before reap, because the pid is not used again until then
	status := p.reap()
	p.host.clear(p)
	p.drain()
	p.describeEnd(&end, status)
	return end
}

// finish records that the command has ended, and returns why the Host ended it.
func (p *Process) finish() Cause {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.killer != nil {
		p.killer.Stop()
	}
	return p.cause
}

// start creates the pipes and the process.
func (p *Process) start() *StartError {
	path, fail := p.host.lookPath(p.spec.Argv, p.spec.Env)
	if fail != nil {
		return fail
	}
	var log, out [2]int
	if err := unix.Pipe2(log[:], unix.O_CLOEXEC); err != nil {
		return systemError(err)
	}
	p.log = log[0]
	out[1] = log[1]
	if p.spec.Stdout != nil {
		if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
			_ = unix.Close(log[1])
			p.closeAll()
			return systemError(err)
		}
		p.out = out[0]
		defer func() { _ = unix.Close(out[1]) }()
	}
	defer func() { _ = unix.Close(log[1]) }()
	err := p.fork(path, uintptr(out[1]), uintptr(log[1]))
	if err != nil {
		p.closeAll()
		return startError(p.spec.Argv[0], p.spec.Dir, path, err)
	}
	return nil
}

// fork starts and records the process, unless the command was stopped before.
func (p *Process) fork(path string, stdout, stderr uintptr) error {
	attr := &syscall.ProcAttr{
		Dir: p.spec.Dir, Env: p.spec.Env,
		Files: []uintptr{p.host.null.Fd(), stdout, stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &p.pidfd},
	}
	if p.host.noPidfd {
		attr.Sys.PidFD = nil
	}
	p.host.forking.RLock()
	defer p.host.forking.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause != "" {
		return errStopped
	}
	pid, err := forkExec(path, p.spec.Argv, attr)
	if err != nil {
		return err
	}
	p.pid, p.alive = pid, true
	p.host.record(p)
	return nil
}

// forkExec tries again for a while if a concurrent fork still has the program open for writing, or the system is out of
// processes.
func forkExec(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	for pause := time.Millisecond; ; pause *= 2 {
		pid, err = syscall.ForkExec(path, argv, attr)
		passing := errors.Is(err, unix.ETXTBSY) || errors.Is(err, unix.EAGAIN)
		if !passing || pause > 200*time.Millisecond {
			return pid, err
		}
		time.Sleep(pause)
	}
}

// reap reaps the main process.
func (p *Process) reap() syscall.WaitStatus {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.host.forget(p)
	return status
}

// describeEnd fills in how the command ended.
func (p *Process) describeEnd(end *End, status syscall.WaitStatus) {
	end.Exit = status.ExitStatus()
	if status.Signaled() {
		end.Signal = unix.SignalName(status.Signal())
		end.Exit = 128 + int(status.Signal())
	}
	if end.Cause == CauseMemory {
		end.OutOfMemory = true
	}
	if end.Exit != 0 && end.Cause == "" {
		end.OutOfMemory = p.kills >= 0 && p.host.oom.read() > p.kills
	}
}

func (p *Process) closeAll() {
	for _, fd := range []*int{&p.pidfd, &p.log, &p.out} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}
