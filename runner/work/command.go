package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
	"davit/runner/form"
	"davit/runner/scratch"
)

// defaultMaxLog is the log's cap where the task names none.
const defaultMaxLog = 10 << 20

// run executes an accepted call: it runs the command, publishes the outcome, frees the
// slot and uploads the call's objects.
func (c *Call) run() {
	c.w.publish(task.Event{Kind: task.EventRunning, Invocation: c.id, Record: c.copyRecord()})
	o := &task.Outcome{Attempt: c.task.Record.Attempt, Runner: c.w.launch.Runner}
	o = c.conclude(o, c.execute(o))
	stored := c.addToBacklog(o)
	runtime.Gosched() // a goroutine that waits for the answer runs first, on this thread
	c.w.clean(c.slot)
	c.w.publish(task.Event{Kind: task.EventEnded, Invocation: c.id, Outcome: o})
	c.store()
	stored()
}

// execute runs the command and fills in the outcome. If the command succeeded, it
// returns the files of the result.
func (c *Call) execute(o *task.Outcome) *findings {
	w, err := c.prepare()
	if err != nil {
		c.refuse(o, err)
		o.EndedAt = c.w.now()
		return nil
	}
	out := c.newStdout()
	p := c.newProcess(w, out)
	c.mu.Lock()
	c.process = p
	c.mu.Unlock()
	if c.life.Err() != nil {
		p.Stop(command.CauseCancel)
	}
	end := p.Run()
	c.describeEnd(o, &end)
	if o.Reason == "" {
		return c.find(o, out)
	}
	if out != nil {
		out.Release()
	}
	return nil
}

// newStdout returns the file for stdout if stdout is the result, else nil.
func (c *Call) newStdout() *scratch.File {
	if len(c.task.Results) > 0 {
		return nil
	}
	return scratch.New(c.w.scratch)
}

func (c *Call) newProcess(w commandLine, out *scratch.File) *command.Process {
	most := int64(c.task.MaxLog)
	if most <= 0 {
		most = defaultMaxLog
	}
	spec := command.Spec{
		Argv: w.argv, Env: w.env, Dir: c.slot.room.Work(), Log: command.NewCapped(c.log, most),
		Timeout: c.task.Timeout.Std(), Mark: argv.Mark(c.task),
	}
	if out != nil {
		spec.Stdout = &bounded{to: out, left: int64(c.task.MaxResult), unbounded: c.task.MaxResult <= 0}
	}
	return c.w.host.New(spec)
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

// prepare prepares the command: it waits for the backlog and the start process, fetches
// an input that is in the store, and prepares workspace, arguments and environment.
func (c *Call) prepare() (commandLine, error) {
	if err := c.awaitStore(); err != nil {
		return commandLine{}, err
	}
	c.watchInput()
	if err := c.w.starter.wait(c.life); err != nil {
		return commandLine{}, err
	}
	if c.input.raw == nil {
		if err := c.fetch(); err != nil {
			return commandLine{}, err
		}
	}
	if c.input.fault != nil {
		return commandLine{}, c.input.fault
	}
	if err := c.w.noteCommon(); err != nil {
		return commandLine{}, err
	}
	return c.arrange()
}

// arrange prepares the workspace and returns arguments and environment. The input has
// been read.
func (c *Call) arrange() (commandLine, error) {
	if err := c.slot.room.Prepare(c.task.Results); err != nil {
		return commandLine{}, err
	}
	now := c.w.now()
	c.mu.Lock()
	c.started = now
	c.mu.Unlock()
	w, err := c.words(now.Add(c.task.Timeout.Std()))
	if err != nil {
		return w, err
	}
	request, err := argv.Request(c.task, c.input.form)
	if err != nil {
		return w, err
	}
	return w, c.slot.room.WriteRequest(request)
}

// refuse fills in why the command was not started.
func (c *Call) refuse(o *task.Outcome, err error) {
	fault, isFault := errors.AsType[*form.Fault](err)
	start, isStart := errors.AsType[*StartError](err)
	switch {
	case errors.Is(context.Cause(c.life), errCancelled):
		o.Reason, o.Detail = faas.ReasonCancelled, "cancelled before the command was started"
	case isFault:
		o.Reason, o.Detail = faas.ReasonInputInvalid, fault.Detail
	case isStart:
		o.Reason, o.Detail, o.LogTail = faas.ReasonStartFailed, start.Detail, start.LogTail
	case errors.Is(err, errBacklogFull):
		o.Reason, o.Detail = faas.ReasonStoreUnavailable, "what earlier calls left waits to be stored, and the store takes nothing; the command was not started"
	case errors.Is(err, errFetch):
		o.Reason, o.Detail = faas.ReasonStoreUnavailable, "the input cannot be fetched from the store"
		c.w.log.Error("input cannot be fetched", "invocation", c.id, "error", err)
	default:
		o.Reason, o.Detail = faas.ReasonRunnerLost, "the runner cannot prepare the workspace; its disk may be full"
		c.w.log.Error("call cannot be prepared", "invocation", c.id, "error", err)
	}
}

// describeEnd fills in how the command ended.
func (c *Call) describeEnd(o *task.Outcome, end *command.End) {
	o.EndedAt = end.EndedAt
	if end.Err != nil {
		c.describeStartError(o, end)
		return
	}
	o.StartedAt = &end.StartedAt
	o.Phases.Run = faas.Duration(end.EndedAt.Sub(end.StartedAt))
	if end.Signal != "" {
		o.Signal = &end.Signal
	} else {
		o.ExitCode = &end.Exit
	}
	o.Reason, o.Detail = c.reason(end)
}

// describeStartError fills in why the command could not be started.
func (c *Call) describeStartError(o *task.Outcome, end *command.End) {
	switch {
	case end.Cause != "":
		o.Reason, o.Detail = faas.ReasonCancelled, "cancelled before the command was started"
		return
	case end.Err.TooBig:
		o.Reason, o.Detail = faas.ReasonInputInvalid, end.Err.Detail+"; send large values as files"
		return
	}
	o.Reason, o.Detail, o.ExitCode = faas.ReasonExitCode, end.Err.Detail, &end.Err.Exit
	_, _ = fmt.Fprintf(c.log, "davit: %s\n", end.Err.Detail) // a log that cannot be written must not fail the call
}

func (c *Call) reason(end *command.End) (reason faas.Reason, detail string) {
	switch {
	case end.Cause == command.CauseTimeout:
		return faas.ReasonTimedOut, fmt.Sprintf("the command ran longer than its timeout of %v", c.task.Timeout)
	case end.Cause == command.CauseCancel:
		return faas.ReasonCancelled, "cancelled while the command ran"
	case end.Cause == command.CauseOutput:
		return faas.ReasonResultTooLarge, fmt.Sprintf("the command wrote more than %d bytes to its output", int64(c.task.MaxResult))
	case end.OutOfMemory:
		return faas.ReasonOutOfMemory, "the command's processes needed more memory than they may have"
	case end.Signal != "":
		return faas.ReasonSignal, "the command was killed by " + end.Signal
	case end.Exit != 0:
		return faas.ReasonExitCode, fmt.Sprintf("the command ended with exit code %d", end.Exit)
	}
	return "", ""
}
