package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
	"davit/runner/form"
	"davit/runner/scratch"
)

// defaultMaxLog is the log's cap where the task names none.
const defaultMaxLog = 10 << 20

// commandLine is the command's arguments and environment.
type commandLine struct{ argv, env []string }

// arrange prepares the workspace and returns arguments and environment. The input has been read.
func (e *execution) arrange() (commandLine, error) {
	if err := e.slot.ws.Prepare(e.task.Results); err != nil {
		return commandLine{}, err
	}
	e.started = e.w.now()
	w, err := e.commandLine(e.started.Add(e.task.Timeout.Std()))
	if err != nil {
		return w, err
	}
	request, err := argv.Request(e.task, e.input.form)
	if err != nil {
		return w, err
	}
	return w, e.slot.ws.WriteRequest(request)
}

// commandLine returns the command's arguments and environment.
func (e *execution) commandLine(deadline time.Time) (commandLine, error) {
	arguments, err := argv.Arguments(e.task.Command, e.task.ArgumentStyle, e.input.form)
	if err != nil {
		return commandLine{}, err
	}
	env := argv.Environ(e.w.base, e.slot.variables, e.task, e.input.form, deadline)
	return commandLine{argv: arguments, env: env}, argv.CheckSize(arguments, env, e.w.limit)
}

// run runs the command to its end, which comes at once if life has ended.
func (e *execution) run(life context.Context, w commandLine, out *scratch.File) command.End {
	p := e.newProcess(w, out)
	e.mu.Lock()
	e.process = p
	e.mu.Unlock()
	if life.Err() != nil {
		p.Stop(command.CauseCancel)
	}
	return p.Run()
}

// newStdout returns the file for stdout if stdout is the result, else nil.
func (e *execution) newStdout() *scratch.File {
	if len(e.task.Results) > 0 {
		return nil
	}
	return scratch.New(e.w.scratch)
}

func (e *execution) newProcess(w commandLine, out *scratch.File) *command.Process {
	most := int64(e.task.MaxLog)
	if most <= 0 {
		most = defaultMaxLog
	}
	spec := command.Spec{
		Argv: w.argv, Env: w.env, Dir: e.slot.ws.Work(), Log: command.NewCapped(e.log, most),
		Timeout: e.task.Timeout.Std(), Mark: argv.Mark(e.task),
	}
	if out != nil {
		spec.Stdout = &bounded{to: out, left: int64(e.task.MaxResult), unbounded: e.task.MaxResult <= 0}
	}
	return e.w.host.New(spec)
}

// bounded is a writer that fails after left bytes.
type bounded struct {
	to        io.Writer
	left      int64
	unbounded bool
}

var errTooMuch = errors.New("too much output")

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 && !b.unbounded {
		return 0, errTooMuch
	}
	return b.to.Write(p)
}

// stop ends the command: SIGTERM at once, SIGKILL after Options.Grace.
func (e *execution) stop() {
	if p := e.current(); p != nil {
		p.Stop(command.CauseCancel)
	}
}

// kill kills the command, because the worker closes.
func (e *execution) kill() {
	if p := e.current(); p != nil {
		p.Kill(command.CauseCancel)
	}
}

// current returns the command's process; nil: there is none yet.
func (e *execution) current() *command.Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.process
}

// refuse fills in why the command was not started; life is the call's.
func (e *execution) refuse(life context.Context, o *task.Outcome, err error) {
	fault, isFault := errors.AsType[*form.Fault](err)
	start, isStart := errors.AsType[*StartError](err)
	switch {
	case errors.Is(context.Cause(life), errCancelled):
		o.Reason, o.Detail = faas.ReasonCancelled, "cancelled before the command was started"
	case isFault:
		o.Reason, o.Detail = faas.ReasonInputInvalid, fault.Detail
	case isStart:
		o.Reason, o.Detail, o.LogTail = faas.ReasonStartFailed, start.Detail, start.LogTail
	case errors.Is(err, errBacklogFull):
		o.Reason, o.Detail = faas.ReasonStoreUnavailable, "the command was not started, because the objects of earlier calls wait to be stored, and the store accepts none"
	case errors.Is(err, errFetch):
		o.Reason, o.Detail = faas.ReasonStoreUnavailable, "the command was not started, because the input cannot be fetched from the store"
		e.w.log.Error("input cannot be fetched", "invocation", e.task.Record.ID, "error", err)
	default:
		o.Reason, o.Detail = faas.ReasonRunnerLost, "the command was not started, because the runner cannot prepare the workspace; its disk may be full"
		e.w.log.Error("call cannot be prepared", "invocation", e.task.Record.ID, "error", err)
	}
	o.EndedAt = e.w.now()
}

// describe fills in how the command ended.
func (e *execution) describe(o *task.Outcome, end *command.End) {
	o.EndedAt = end.EndedAt
	if end.Err != nil {
		e.describeStartError(o, end)
		return
	}
	o.StartedAt = &end.StartedAt
	o.Phases.Run = faas.Duration(end.EndedAt.Sub(end.StartedAt))
	if end.Signal != "" {
		o.Signal = &end.Signal
	} else {
		o.ExitCode = &end.Exit
	}
	o.Reason, o.Detail = e.reason(end)
}

// describeStartError fills in why the command could not be started.
func (e *execution) describeStartError(o *task.Outcome, end *command.End) {
	switch {
	case end.Cause != "":
		o.Reason, o.Detail = faas.ReasonCancelled, "cancelled before the command was started"
		return
	case end.Err.TooBig:
		o.Reason, o.Detail = faas.ReasonInputInvalid, end.Err.Detail+"; send large values as files"
		return
	}
	o.Reason, o.Detail, o.ExitCode = faas.ReasonExitCode, end.Err.Detail, &end.Err.Exit
	_, _ = fmt.Fprintf(e.log, "davit: %s\n", end.Err.Detail) // a log that cannot be written must not fail the call
}

func (e *execution) reason(end *command.End) (reason faas.Reason, detail string) {
	switch {
	case end.Cause == command.CauseTimeout:
		return faas.ReasonTimedOut, fmt.Sprintf("the command ran longer than its timeout of %v", e.task.Timeout)
	case end.Cause == command.CauseCancel:
		return faas.ReasonCancelled, "cancelled while the command ran"
	case end.Cause == command.CauseOutput:
		return faas.ReasonResultTooLarge, fmt.Sprintf("the command wrote more than %d bytes to its output", int64(e.task.MaxResult))
	case end.OutOfMemory:
		return faas.ReasonOutOfMemory, "the command's processes needed more memory than they may have"
	case end.Signal != "":
		return faas.ReasonSignal, "the command was killed by " + end.Signal
	case end.Exit != 0:
		return faas.ReasonExitCode, fmt.Sprintf("the command ended with exit code %d", end.Exit)
	}
	return "", ""
}

// describeLog fills in the log's size and, after a failure, its end.
func (e *execution) describeLog(o *task.Outcome) {
	o.LogSize = e.log.Size()
	if o.Reason != "" && o.LogTail == "" {
		o.LogTail = strings.ToValidUTF8(string(e.log.Tail(task.LogTailBytes)), "\ufffd")
	}
}
