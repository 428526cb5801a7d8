package api

import (
	"slices"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
	"davit/internal/text"
)

// checkBearer returns nil for a request with the token, else an Unauthorized error.
func checkBearer(r *edge.Request, check *tokenCheck) error {
	token, there := bearer(r)
	switch {
	case !there:
		return unauthorized("this asks for a token: send it as \"Authorization: Bearer …\"")
	case !check.opens(token):
		return unauthorized("the token in the Authorization header is not the right one")
	}
	return nil
}

func invocationFilter(q *query) (faas.InvocationFilter, error) {
	f := faas.InvocationFilter{
		Function: faas.FunctionName(q.text("function")),
		Trigger:  faas.TriggerName(q.text("trigger")),
		State:    faas.State(q.text("state")),
	}
	f.Limit, f.Cursor = q.page()
	if f.Function != "" && f.Function.Check() != "" {
		q.fail("function", "%s", f.Function.Check())
	}
	if f.Trigger != "" && f.Trigger.Check() != "" {
		q.fail("trigger", "%s", f.Trigger.Check())
	}
	states := []faas.State{faas.Queued, faas.Starting, faas.Running, faas.Succeeded, faas.Failed, faas.StateCancelled}
	if f.State != "" && !slices.Contains(states, f.State) {
		q.fail("state", "is %q; it must be one of %s", text.Clip(string(f.State), 40), joined(states))
	}
	if v := q.text("since"); v != "" {
		since, err := time.Parse(time.RFC3339Nano, strings.ToUpper(v))
		if err != nil {
			q.fail("since", "is %q; it must be a time such as 2026-01-31T12:00:00Z", text.Clip(v, 40))
		}
		f.Since = since
	}
	return f, q.err
}

func joined[T ~string](all []T) string {
	texts := make([]string, 0, len(all))
	for _, one := range all {
		texts = append(texts, string(one))
	}
	return strings.Join(texts, ", ")
}
