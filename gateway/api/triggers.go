package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
	"davit/internal/faas/spec"
)

// triggerView is a trigger as users read it, with the URL that calls it.
type triggerView struct {
	*faas.Trigger
	URL string `json:"url"`
}

func (k *console) viewTrigger(r *edge.Request, t *faas.Trigger) triggerView {
	return triggerView{Trigger: t, URL: k.callsURL(r) + t.Path}
}

func (k *console) listTriggers(r *edge.Request) error {
	q := readQuery(r)
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := k.Triggers.ListTriggers(r.Context(), limit, cursor)
	if err != nil {
		return err
	}
	views := make([]triggerView, 0, len(items))
	for _, t := range items {
		views = append(views, k.viewTrigger(r, t))
	}
	return sendJSON(r, http.StatusOK, listOf(views, next))
}

func (k *console) findTrigger(r *edge.Request) (*faas.Trigger, error) {
	name, err := pathName[faas.TriggerName](r)
	if err != nil {
		return nil, err
	}
	return k.Triggers.FindTrigger(r.Context(), name)
}

func (k *console) getTrigger(r *edge.Request) error {
	t, err := k.findTrigger(r)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, k.viewTrigger(r, t))
}

func (k *console) putTrigger(r *edge.Request) error {
	name, err := pathName[faas.TriggerName](r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, k.Limits.JSONBytes)
	if err != nil {
		return err
	}
	spec, err := spec.DecodeTriggerSpec(body)
	if err != nil {
		return err
	}
	t, created, err := k.SetTriggers.PutTrigger(r.LastingContext(), name, spec)
	if err != nil {
		return err
	}
	return k.sendTrigger(r, t, created)
}

func (k *console) sendTrigger(r *edge.Request, t *faas.Trigger, created bool) error {
	if !created {
		return sendJSON(r, http.StatusOK, k.viewTrigger(r, t))
	}
	r.Set("Location", "/v1/triggers/"+string(t.Name))
	return sendJSON(r, http.StatusCreated, k.viewTrigger(r, t))
}

func (k *console) deleteTrigger(r *edge.Request) error {
	name, err := pathName[faas.TriggerName](r)
	if err != nil {
		return err
	}
	if err := k.SetTriggers.DeleteTrigger(r.LastingContext(), name); err != nil {
		return err
	}
	return sendNothing(r)
}

// formWait is how long a form waits for its build: who posts the next form, for
// the function's trigger, mostly finds it ready.
const formWait = 10 * time.Second

// registerForm is the original's form. A person is led back to the page, and
// shown what is wrong on one of its own where something is; a program gets what
// the PUT would answer.
func (k *console) registerForm(r *edge.Request) error {
	form, done, err := k.readForm(r)
	if err != nil {
		return err
	}
	defer done()
	result, err := k.Forms.RegisterForm(r.LastingContext(), form)
	if err != nil {
		return err
	}
	if result.Function != nil {
		if err := k.awaitBuild(r, result.Function, formWait); err != nil {
			return err
		}
	}
	switch {
	case !accepts(r, mediaJSON):
		return redirectTo(r, "/")
	case result.Function != nil:
		return k.sendRegistered(r, result.Function)
	}
	return k.sendTrigger(r, result.Trigger, result.Created)
}

// callsURL is where callers reach the triggers: what was set, with the host by
// which this caller knows us where it names none.
func (k *console) callsURL(r *edge.Request) string {
	u, err := url.Parse(k.CallsURL)
	if err != nil {
		return k.CallsURL
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "" || err == nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort(trimBrackets(hostOnly(r.TargetHost())), u.Port())
	}
	return strings.TrimSuffix(u.String(), "/")
}

func trimBrackets(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// triggerDescription answers with an OpenAPI document of one trigger.
func (k *console) triggerDescription(r *edge.Request) error {
	t, err := k.findTrigger(r)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, describeTrigger(t, k.callsURL(r)))
}
