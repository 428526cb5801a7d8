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

func (ts *triggersAPI) view(r *edge.Request, t *faas.Trigger) triggerView {
	return triggerView{Trigger: t, URL: ts.callsURL.forCaller(r) + t.Path}
}

func (ts *triggersAPI) list(r *edge.Request) error {
	q := readQuery(r)
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := ts.reader.ListTriggers(r.Context(), limit, cursor)
	if err != nil {
		return err
	}
	views := make([]triggerView, 0, len(items))
	for _, t := range items {
		views = append(views, ts.view(r, t))
	}
	return sendJSON(r, http.StatusOK, listOf(views, next))
}

func (ts *triggersAPI) find(r *edge.Request) (*faas.Trigger, error) {
	name, err := pathName[faas.TriggerName](r)
	if err != nil {
		return nil, err
	}
	return ts.reader.FindTrigger(r.Context(), name)
}

func (ts *triggersAPI) get(r *edge.Request) error {
	t, err := ts.find(r)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, ts.view(r, t))
}

func (ts *triggersAPI) put(r *edge.Request) error {
	name, err := pathName[faas.TriggerName](r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, ts.limits.JSONBytes)
	if err != nil {
		return err
	}
	spec, err := spec.DecodeTriggerSpec(body)
	if err != nil {
		return err
	}
	t, created, err := ts.registrar.PutTrigger(r.LastingContext(), name, spec)
	if err != nil {
		return err
	}
	return ts.send(r, t, created)
}

func (ts *triggersAPI) send(r *edge.Request, t *faas.Trigger, created bool) error {
	if !created {
		return sendJSON(r, http.StatusOK, ts.view(r, t))
	}
	r.Set("Location", "/v1/triggers/"+string(t.Name))
	return sendJSON(r, http.StatusCreated, ts.view(r, t))
}

func (ts *triggersAPI) delete(r *edge.Request) error {
	name, err := pathName[faas.TriggerName](r)
	if err != nil {
		return err
	}
	if err := ts.registrar.DeleteTrigger(r.LastingContext(), name); err != nil {
		return err
	}
	return sendNothing(r)
}

// formWait is how long the answer to a form waits for the build, so that the next form, which registers the function's
// trigger, usually finds the function ready.
const formWait = 10 * time.Second

// registerForm serves the original's form. It redirects a browser to the page, or answers with an error page; a program
// that accepts JSON gets the same answer as from the PUT.
func (ts *triggersAPI) registerForm(r *edge.Request) error {
	form, done, err := ts.uploads.readForm(r)
	if err != nil {
		return err
	}
	defer done()
	result, err := ts.forms.RegisterForm(r.LastingContext(), form)
	if err != nil {
		return err
	}
	if result.Function != nil {
		if err := ts.functions.awaitBuild(r, result.Function, formWait); err != nil {
			return err
		}
	}
	switch {
	case !accepts(r, mediaJSON):
		return redirectTo(r, "/")
	case result.Function != nil:
		return ts.functions.sendRegistered(r, result.Function)
	}
	return ts.send(r, result.Trigger, result.Created)
}

// forCaller returns the URL for the caller of r. If c names no host, the URL has the host of the request.
func (c callsURL) forCaller(r *edge.Request) string {
	u, err := url.Parse(string(c))
	if err != nil {
		return string(c)
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

// describe answers with the OpenAPI document of one trigger.
func (ts *triggersAPI) describe(r *edge.Request) error {
	t, err := ts.find(r)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, describeTrigger(t, ts.callsURL.forCaller(r)))
}
