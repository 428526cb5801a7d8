package dispatch

import (
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// opener makes calls of requests.
type opener struct {
	gateway faas.GatewayID
	catalog Catalog
	calls   *calls
	work    *work
	limits  Limits
	now     func() time.Time
}

// open pins the live revision and makes the invocation, in memory only.
func (o *opener) open(request *faas.Call) (*call, error) {
	if o.calls.isClosed() {
		return nil, shuttingDown()
	}
	trigger := request.Match.Trigger
	rev, err := o.catalog.Live(trigger.Function)
	if err != nil {
		return nil, err
	}
	if len(trigger.Command) == 0 && len(rev.Spec.Command) == 0 {
		return nil, faas.Errorf(faas.FunctionFailed, "there is no command to run: neither trigger %q nor function %q names one, and the image has none", trigger.Name, rev.Function)
	}
	mode, err := callMode(&rev.Spec, trigger, request.Mode)
	if err != nil {
		return nil, err
	}
	id, err := faas.NewInvocationID()
	if err != nil {
		return nil, err
	}
	inv := &faas.Invocation{
		ID: id, Function: rev.Function, Revision: rev.Number, Trigger: trigger.Name, Mode: mode,
		State: faas.Queued, Attempt: 1, CreatedAt: o.now().UTC(), RequestID: request.RequestID,
		Inner: &faas.Inner{
			Keep: trigger.Keep, Retention: trigger.Retention, Private: trigger.Access == faas.AccessToken,
			Timeout: timeoutOf(&rev.Spec, trigger), Gateway: o.gateway,
		},
	}
	c := newCall(o.work.base, inv, rev, o.template(request, rev, inv))
	c.request, c.trigger, c.body = request, trigger, newBody(request)
	o.calls.add(c)
	return c, nil
}

// callMode is the strictest of the modes that function, trigger and call ask for.
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
func (o *opener) template(request *faas.Call, rev *faas.Revision, inv *faas.Invocation) *task.Task {
	t := request.Match.Trigger
	command := t.Command
	if len(command) == 0 {
		command = rev.Spec.Command
	}
	response := t.Response
	if request.Zip {
		response = faas.ResponseZip
	}
	return &task.Task{
		Command: command, ArgumentStyle: t.ArgumentStyle, Results: t.Results, Response: response,
		Fields: t.Fields, Timeout: inv.Inner.Timeout, MaxBody: t.MaxBody, MaxLog: o.limits.MaxLog,
		MaxResult: o.limits.MaxResult, Keep: t.Keep,
		Request: task.Request{
			Method: request.Method, Path: request.Path, Query: request.Query, PathFields: request.Match.Fields,
			Headers: request.Headers, ContentType: request.ContentType, Traceparent: request.Traceparent,
		},
	}
}
