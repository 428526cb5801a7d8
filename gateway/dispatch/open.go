package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"davit/gateway/hub"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
)

// signedExtra is how much longer than its deadline an invocation's URLs live.
const signedExtra = 5 * time.Minute

// signedFor is how long the URLs of an invocation with that timeout live.
func (d *Dispatcher) signedFor(timeout faas.Duration) time.Duration {
	return d.Limits.Grace + timeout.Std() + signedExtra
}

// open pins the live revision and makes the invocation, in memory only.
func (d *Dispatcher) open(req *Request) (*call, error) {
	if d.isStopping() {
		return nil, &faas.Error{Kind: faas.Unavailable, Detail: "this gateway is shutting down", RetryAfter: time.Second}
	}
	trigger := req.Match.Trigger
	rev, err := d.Catalog.Live(trigger.Function)
	if err != nil {
		return nil, err
	}
	if len(trigger.Command) == 0 && len(rev.Spec.Command) == 0 {
		return nil, faas.Errorf(faas.FunctionFailed, "there is no command to run: neither trigger %q nor function %q names one, and the image has none", trigger.Name, rev.Function)
	}
	mode, err := callMode(&rev.Spec, trigger, req.Mode)
	if err != nil {
		return nil, err
	}
	id, err := faas.NewInvocationID()
	if err != nil {
		return nil, err
	}
	inv := &faas.Invocation{
		ID: id, Function: rev.Function, Revision: rev.Number, Trigger: trigger.Name, Mode: mode,
		State: faas.Queued, Attempt: 1, CreatedAt: d.Now().UTC(), RequestID: req.RequestID,
		Inner: &faas.Inner{
			Keep: trigger.Keep, Retention: trigger.Retention, Private: trigger.Access == faas.AccessToken,
			Timeout: timeoutOf(&rev.Spec, trigger), Gateway: d.Gateway,
		},
	}
	c := newCall(d, inv, rev, d.template(req, rev, inv))
	c.req, c.trigger = req, trigger
	c.body = newBody(req)
	d.add(c)
	return c, nil
}

// callMode is the strictest of what function, trigger and call ask for.
func callMode(spec *faas.FunctionSpec, t *faas.Trigger, asked faas.Mode) (faas.Mode, error) {
	mode := spec.LooseMode()
	if t.Mode.StricterThan(mode) {
		mode = t.Mode
	}
	if asked == "" || asked == mode {
		return mode, nil
	}
	if !asked.Known() || mode.StricterThan(asked) {
		return "", faas.Errorf(faas.Invalid, "Davit-Mode is %q, which is looser than %q, the mode of this trigger; leave the header out, or ask for what is later in warm, standby, job", asked, mode)
	}
	return asked, nil
}

func timeoutOf(spec *faas.FunctionSpec, t *faas.Trigger) faas.Duration {
	if t.Timeout > 0 {
		return t.Timeout
	}
	return spec.Timeout
}

// template is the task without its URLs: what is pinned when the call is made.
func (d *Dispatcher) template(req *Request, rev *faas.Revision, inv *faas.Invocation) *task.Task {
	t := req.Match.Trigger
	command := t.Command
	if len(command) == 0 {
		command = rev.Spec.Command
	}
	response := t.Response
	if req.Zip {
		response = faas.ResponseZip
	}
	return &task.Task{
		Command: command, ArgumentStyle: t.ArgumentStyle, Results: t.Results, Response: response,
		Fields: t.Fields, Timeout: inv.Inner.Timeout, MaxBody: t.MaxBody, MaxLog: d.Limits.MaxLog,
		MaxResult: d.Limits.MaxResult, Keep: t.Keep,
		Request: task.Request{
			Method: req.Method, Path: req.Path, Query: req.Query, PathFields: req.Match.Fields,
			Headers: req.Headers, ContentType: req.ContentType, Traceparent: req.Traceparent,
		},
	}
}

// complete makes the task for one slot: the record so far and URLs signed for this attempt.
func (d *Dispatcher) complete(ctx context.Context, c *call, slot *hub.Slot) (*task.Task, error) {
	t := *c.task
	hello := slot.Runner()
	c.bind(&hello)
	t.Record = *c.snapshot()
	t.Record.Inner.Task = nil
	t.MustKeep = t.Record.Inner.Accepted
	ttl := d.signedFor(t.Timeout)
	var err error
	sign := func(key blob.Key) string {
		var url string
		if err == nil {
			url, err = d.Signer.SignPut(ctx, key, ttl)
		}
		return url
	}
	if c.staged() {
		if t.InputURL, err = d.inputURL(ctx, c, ttl); err != nil {
			return nil, err
		}
	} else if c.body.present() {
		t.Put.Input = sign(inputKey(c.id))
	}
	t.Put.Result = sign(resultKey(c.id, t.Record.Attempt))
	t.Put.Log = sign(logKey(c.id, t.Record.Attempt))
	t.Put.Outcome = sign(outcomeKey(c.id, t.Record.Attempt))
	if err != nil {
		return nil, fmt.Errorf("sign the URLs of invocation %s: %w", c.id, err)
	}
	return &t, nil
}

func (d *Dispatcher) inputURL(ctx context.Context, c *call, ttl time.Duration) (string, error) {
	if in := c.snapshot().Input; in == nil || in.Size == 0 {
		return "", nil
	}
	url, err := d.Signer.SignRunnerGet(ctx, inputKey(c.id), ttl)
	if err != nil {
		return "", fmt.Errorf("sign the input of invocation %s: %w", c.id, err)
	}
	return url, nil
}

// packTask puts the task's template into the record, so that any gateway can lead it.
func packTask(inv *faas.Invocation, t *task.Task) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode the task of invocation %s: %w", inv.ID, err)
	}
	inv.Inner.Task = b
	return nil
}

func unpackTask(inv *faas.Invocation) (*task.Task, error) {
	var t task.Task
	if inv.Inner == nil {
		return nil, fmt.Errorf("the record of invocation %s holds no task", inv.ID)
	}
	if err := json.Unmarshal(inv.Inner.Task, &t); err != nil {
		return nil, fmt.Errorf("decode the task of invocation %s: %w", inv.ID, err)
	}
	return &t, nil
}

func inputKey(id faas.InvocationID) blob.Key { return blob.Key("invocations/" + string(id) + "/input") }

func resultKey(id faas.InvocationID, attempt int) blob.Key {
	return attemptKey(id, attempt, "result.zip")
}

func logKey(id faas.InvocationID, attempt int) blob.Key { return attemptKey(id, attempt, "log") }

func outcomeKey(id faas.InvocationID, attempt int) blob.Key {
	return attemptKey(id, attempt, "outcome.json")
}

func attemptKey(id faas.InvocationID, attempt int, name string) blob.Key {
	return blob.Key(fmt.Sprintf("invocations/%s/%d/%s", id, attempt, name))
}
