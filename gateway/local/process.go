package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"davit/internal/faas"
	"davit/internal/task"
)

// pipeGrace is how long standard error may stay open after a runner's end.
const pipeGrace = time.Second

func newProcess(l layout, rev *faas.Revision, start faas.Start, id faas.InvocationID) *process {
	runner := faas.RunnerID("local-" + string(start) + "-" + uuid.NewString())
	return &process{
		record: processRecord{
			Runner: runner, Function: rev.Function, Revision: rev.Number, Start: start,
			Invocation: id, Source: rev.SourceSum,
		},
		dir:   filepath.Join(l.run, string(runner)),
		begun: make(chan struct{}),
	}
}

// begin starts a reserved process, and a goroutine that sends its launch and waits for its end.
func (l *Launcher) begin(p *process, rev *faas.Revision) {
	stdin, err := l.start(p)
	if err != nil {
		p.err = fmt.Errorf("start a %s runner of %s: %w", p.record.Start, rev.Ref(), err)
		l.removeProcess(p)
		clean(p, l.log)
		close(p.begun)
		l.alive.Done()
		return
	}
	launch := l.launch(p, rev)
	close(p.begun)
	go func() {
		defer l.alive.Done()
		p.sendLaunch(stdin, launch, l)
		l.watch(p)
	}()
}

// start makes the directory, forks, and writes the record, in that order. A runner without a record never got its
// launch, and so ends by itself.
func (l *Launcher) start(p *process) (io.WriteCloser, error) {
	if err := makeRunnerDir(p.dir, l.asRoot); err != nil {
		return nil, err
	}
	p.stderr = newLines(l.log.With("runner", string(p.record.Runner)))
	cmd := &exec.Cmd{
		Path: l.binary, Args: []string{l.binary, "--launch=-", "--name=" + string(p.record.Runner)},
		Env: []string{"PATH=" + l.path()}, Dir: p.dir, Stderr: p.stderr,
		SysProcAttr: l.attributes(), WaitDelay: pipeGrace,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	l.forking.RLock()
	defer l.forking.RUnlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.handle = &child{cmd}
	p.setPID(cmd.Process.Pid)
	if err := p.record.write(p.dir + recordSuffix); err != nil {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	return stdin, nil
}

// attributes returns the attributes of a runner process: a session of its own and, if the gateway is root, another user
// without capabilities and supplementary groups.
func (l *Launcher) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if l.asRoot {
		a.Credential = &syscall.Credential{Uid: RunnerUID, Gid: RunnerUID}
	}
	return a
}

const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (l *Launcher) path() string {
	if l.o.Path != "" {
		return l.o.Path
	}
	return usualPath
}

// launch returns the task.Launch that the gateway writes to the runner's standard input.
func (l *Launcher) launch(p *process, rev *faas.Revision) *task.Launch {
	s := rev.Spec
	t := &task.Launch{
		Runner: p.record.Runner, Function: rev.Function, Revision: rev.Number,
		Start: p.record.Start, Invocation: p.record.Invocation,
		Token: l.o.Token(rev.Ref()), Gateways: l.o.Gateways(), Slots: 1,
		Env: s.Env, StartProcess: s.Start, StartTimeout: s.Timeout,
		SourceDir: l.sources.dir(rev.SourceSum), Dir: p.dir,
		Landlock: l.landlock > 0, Hide: l.hidden(),
	}
	if s.Resources != nil {
		t.Memory = s.Resources.Memory
	}
	if p.record.Start == faas.StartWarm && s.Warm != nil {
		t.Slots = max(1, s.Warm.Concurrency)
		t.MaxCalls, t.MaxAge = s.Warm.MaxCalls, s.Warm.MaxAge
	}
	return t
}

// hidden returns the folders that runners may not read. File permissions do not hide them, because all runners are the
// same user.
func (l *Launcher) hidden() []string {
	return append(slices.Clone(l.o.Hide), filepath.Dir(l.layout.run), l.layout.sources)
}

// sendLaunch writes the launch and closes the pipe.
func (p *process) sendLaunch(stdin io.WriteCloser, launch *task.Launch, l *Launcher) {
	b, err := json.Marshal(launch)
	if err == nil {
		_, err = stdin.Write(b)
	}
	if err = errors.Join(err, stdin.Close()); err != nil {
		l.log.Debug("a runner did not read its launch", "runner", string(p.record.Runner), "error", err)
	}
}

// watch waits for the end of a process, kills its orphans, reports its exit, and removes its directory.
func (l *Launcher) watch(p *process) {
	end := p.handle.Wait()
	p.markGone()
	if p.stderr != nil {
		p.stderr.flush()
	}
	if !end.orderly {
		l.killOrphans(p)
	}
	exit := l.exit(p, end)
	l.removeProcess(p)
	l.exits.report(exit)
	clean(p, l.log)
}

// stop sends SIGTERM, and SIGKILL after grace; a second call changes nothing. It waits for a start under way, which
// takes no more than a fork.
func (p *process) stop(grace time.Duration) {
	<-p.begun
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || p.gone || p.stopped {
		return
	}
	p.stopped = true
	_ = p.handle.Signal(syscall.SIGTERM)
	p.killer = time.AfterFunc(grace, func() { _ = p.handle.Signal(syscall.SIGKILL) })
}

// kill sends SIGKILL to the process.
func (p *process) kill() error {
	<-p.begun
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || p.gone {
		return nil
	}
	if err := p.handle.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill runner %q: %w", p.record.Runner, err)
	}
	return nil
}

// markGone marks the process as reaped: nothing signals it any more.
func (p *process) markGone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	if p.killer != nil {
		p.killer.Stop()
	}
}

func (p *process) wasStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

func (c *child) Signal(sig syscall.Signal) error { return c.cmd.Process.Signal(sig) }

func (c *child) Wait() ending {
	err := c.cmd.Wait()
	s := c.cmd.ProcessState
	if s == nil {
		return ending{text: fmt.Sprint(err), code: -1}
	}
	return ending{text: s.String(), orderly: s.Success(), code: s.ExitCode()}
}

// exit returns the faas.Exit of a process that ended.
func (l *Launcher) exit(p *process, end ending) faas.Exit {
	l.mu.Lock()
	joined, unwanted := p.joined, p.unwanted
	l.mu.Unlock()
	e := faas.Exit{Runner: p.record.Runner, Ref: p.record.Ref(), Start: p.record.Start, Invocation: p.record.Invocation}
	if unwanted {
		e.Invocation = ""
	}
	if end.orderly {
		return e
	}
	e.Reason = faas.ReasonRunnerLost
	var said []string
	switch {
	case end.code == task.ExitStartFailed:
		e.Reason = faas.ReasonStartFailed
	case p.wasStopped():
		said = append(said, "the runner was stopped")
	case p.stderr != nil && !joined:
		said = append(said, "the runner ended before it dialled in")
	}
	said = append(said, end.text)
	if last := p.stderr.last(); last != "" {
		said = append(said, last)
	}
	e.Detail = strings.Join(said, ": ")
	return e
}
