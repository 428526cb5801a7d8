package command

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Grace is how long a command has between SIGTERM and SIGKILL.
const Grace = 10 * time.Second

// Cause is why a command was ended before it ended by itself.
type Cause string

// The causes.
const (
	CauseTimeout Cause = "timeout" // it ran longer than Spec.Timeout
	CauseCancel  Cause = "cancel"  // somebody asked for it
	CauseOutput  Cause = "output"  // Spec.Stdout took no more
	CauseMemory  Cause = "memory"  // it used more than Options.Memory
)

// Spec is a command.
type Spec struct {
	Argv    []string
	Env     []string      // all of it, with a PATH that Argv[0] is looked up in
	Dir     string        // working directory, its real path, and no other command's
	Log     io.Writer     // stdout and stderr, in order
	Stdout  io.Writer     // nil, or where stdout goes, too; the log's order is then only almost right
	Timeout time.Duration // 0: none
	Mark    string        // the variable that its strays are known by, "NAME=value", in Env

	// Service makes it the service: what it leaves in the background stays, and its
	// output is followed on, when the main process has ended and Exited been called.
	Service bool
	Exited  func(End)
}

// End is how a command ended.
type End struct {
	Err         *StartError // it could not be started
	Cause       Cause       // it was ended
	Exit        int         // its exit code; 128 + number when it was killed by a signal
	Signal      string      // that killed it, "SIGKILL"
	OutOfMemory bool        // the system killed one of its processes for memory, and it failed
	StartedAt   time.Time
	EndedAt     time.Time
}

// Process is a command that runs, or is about to.
type Process struct {
	host  *Host
	spec  Spec
	pid   int
	pidfd int
	log   int // read ends of the pipes; -1: none or ended
	out   int
	kills int64 // the system's kills for memory, before; -1: unknown

	mu     sync.Mutex
	alive  bool // started
	cause  Cause
	ended  bool // its pid may be another's
	killer *time.Timer
}

// New returns a command that Run is to run.
func (h *Host) New(spec Spec) *Process {
	return &Process{host: h, spec: spec, pidfd: -1, log: -1, out: -1, kills: -1}
}

// Run starts the command, follows it to its end and kills what it leaves behind.
// Once.
func (p *Process) Run() End {
	// A command dies with the thread that started it (Pdeathsig): hold on to that.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var end End
	p.host.claim()
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
		p.judge(&end, p.reap())
		p.drain()
		p.spec.Exited(end)
		p.followStrays()
		return end
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL) // while its pid is still held
	status := p.reap()
	p.host.clear(p)
	p.drain()
	p.judge(&end, status)
	return end
}

// Stop ends the command: SIGTERM now, SIGKILL after the grace. One that has not been
// started yet never is.
func (p *Process) Stop(cause Cause) { p.stop(cause, p.host.grace) }

// Kill ends the command at once.
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

// finish says that the command has ended, and why it was ended.
func (p *Process) finish() Cause {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.killer != nil {
		p.killer.Stop()
	}
	return p.cause
}

// start makes the pipes and the process.
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

// fork starts the process and notes it, unless the command was stopped before.
func (p *Process) fork(path string, stdout, stderr uintptr) error {
	attr := &syscall.ProcAttr{
		Dir: p.spec.Dir, Env: p.spec.Env,
		Files: []uintptr{p.host.null.Fd(), stdout, stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &p.pidfd},
	}
	if p.host.blind {
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
	p.host.note(p)
	return nil
}

// forkExec tries again when another fork, at the same time, still held the program
// open for writing, or the system is short of processes for a moment.
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

// judge tells how the command ended from its status.
func (p *Process) judge(end *End, status syscall.WaitStatus) {
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
