package work

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
	"davit/runner/workspace"
)

const (
	defaultStartTimeout = 5 * time.Minute
	firstCheck          = 5 * time.Millisecond
	mostBetweenChecks   = 100 * time.Millisecond
)

// newStarter creates the start process's workspace.
func (w *Worker) newStarter() error {
	w.starter = &starter{w: w, spec: w.launch.StartProcess, settled: make(chan struct{})}
	if w.launch.StartProcess == nil {
		return nil
	}
	ws, err := workspace.New(filepath.Join(w.launch.Dir, "start"), w.source)
	if err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	w.starter.ws = ws
	return nil
}

// begin starts the start process. Without a start process calls may run at once.
func (s *starter) begin() {
	if s.spec == nil {
		s.succeed()
		return
	}
	paths := argv.Paths{Home: s.ws.Home(), Temp: s.ws.Temp(), Shared: s.w.shared}
	env := append(append([]string(nil), s.w.base...), paths.Variables()...)
	env = append(env, "DAVIT_FUNCTION="+string(s.w.launch.Function), "DAVIT_REVISION="+strconv.Itoa(int(s.w.launch.Revision)))
	s.process = s.w.host.New(command.Spec{
		Argv: append(append([]string(nil), s.spec.Command...), s.spec.Arguments...), Env: env,
		Dir: s.ws.Work(), Log: &s.log, Service: true, Exited: s.exited,
	})
	s.w.tasks.Go(func() {
		if end := s.process.Run(); end.Err != nil {
			s.fail(end.Err.Detail)
		}
	})
	s.w.tasks.Go(s.watch)
}

// exited handles the end of the start process's main process.
func (s *starter) exited(end command.End) {
	switch {
	case end.Exit == 0:
		s.succeed()
	case end.Signal != "":
		s.fail("it was killed by " + end.Signal)
	default:
		s.fail(fmt.Sprintf("it ended with exit code %d", end.Exit))
	}
}

// watch checks whether the start process is ready until it is, has failed or is late.
func (s *starter) watch() {
	timeout := s.w.launch.StartTimeout.Std()
	if timeout <= 0 {
		timeout = defaultStartTimeout
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	for pause := firstCheck; ; pause = min(2*pause, mostBetweenChecks) {
		if s.answers() {
			s.succeed()
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.settled:
			timer.Stop()
			return
		case <-late.C:
			timer.Stop()
			s.fail(fmt.Sprintf("it was not ready within %v", timeout))
			s.process.Stop(command.CauseTimeout)
			return
		case <-s.w.life.Done():
			timer.Stop()
			return
		}
	}
}

// answers reports whether the function's readiness file exists or its port accepts a connection.
func (s *starter) answers() bool {
	ready := s.spec.Ready
	switch {
	case ready == nil:
		return true
	case ready.File != "":
		if !filepath.IsLocal(ready.File) {
			return false
		}
		_, err := os.Stat(filepath.Join(s.w.shared, ready.File))
		return err == nil
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		dialer := net.Dialer{Timeout: time.Second}
		conn, err := dialer.DialContext(s.w.life, "tcp", net.JoinHostPort(host, strconv.Itoa(ready.Port)))
		if err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

func (s *starter) succeed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready && s.failed == nil {
		s.ready = true
		close(s.settled)
	}
}

// fail records that the start process has failed, before or after it was ready.
func (s *starter) fail(detail string) {
	s.mu.Lock()
	if s.failed != nil || s.w.life.Err() != nil {
		s.mu.Unlock()
		return
	}
	s.failed = &StartError{Detail: detail, LogTail: s.log.String()}
	if !s.ready {
		close(s.settled)
	}
	failed := s.failed
	s.mu.Unlock()
	s.w.log.Error("start process failed", "error", detail)
	s.w.publish(task.Event{Kind: task.EventStartFailed, Detail: detail, LogTail: failed.LogTail})
	s.w.Drain("the start process failed: " + detail)
}

// wait waits until calls may run.
func (s *starter) wait(ctx context.Context) error {
	if !s.isSettled() {
		select {
		case <-s.settled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	return nil
}

// broken returns the error of a start process that was ready and has failed since: a call that has not begun should go
// to another runner. It returns nil on a runner that was launched for one invocation, because that invocation has no
// other runner.
func (s *starter) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil || !s.ready || s.w.launch.Invocation != "" {
		return nil
	}
	return s.failed
}

func (s *starter) isSettled() bool {
	select {
	case <-s.settled:
		return true
	default:
		return false
	}
}

// kill ends the start process for good.
func (s *starter) kill() {
	if s.process != nil {
		s.process.Kill(command.CauseCancel)
	}
}

// Ready waits until calls can run: the start process is ready, or has ended with exit code 0. If the start process
// failed, Ready returns a *StartError and the worker drains.
func (w *Worker) Ready(ctx context.Context) error {
	err := w.starter.wait(ctx)
	if err == nil && w.life.Err() != nil {
		return errClosed
	}
	return err
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - task.LogTailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String returns the end that is kept, as valid UTF-8.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.b), "\ufffd")
}
