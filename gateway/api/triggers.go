package api

import (
	_ "embed"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"davit/internal/faas"
	"davit/internal/faas/spec"
)

// triggerView is a trigger as users read it, with the URL that calls it.
type triggerView struct {
	*faas.Trigger
	URL string `json:"url"`
}

func (k *console) viewTrigger(r *request, t *faas.Trigger) triggerView {
	return triggerView{Trigger: t, URL: k.callsURL(r) + t.Path}
}

func (k *console) listTriggers(_ *fiber.Ctx, r *request) error {
	q := r.query()
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := k.Triggers.ListTriggers(r.context(), limit, cursor)
	if err != nil {
		return err
	}
	views := make([]triggerView, 0, len(items))
	for _, t := range items {
		views = append(views, k.viewTrigger(r, t))
	}
	return r.sendJSON(fiber.StatusOK, listOf(views, next))
}

func (k *console) findTrigger(c *fiber.Ctx, r *request) (*faas.Trigger, error) {
	name, err := pathName[faas.TriggerName](c)
	if err != nil {
		return nil, err
	}
	return k.Triggers.FindTrigger(r.context(), name)
}

func (k *console) getTrigger(c *fiber.Ctx, r *request) error {
	t, err := k.findTrigger(c, r)
	if err != nil {
		return err
	}
	return r.sendJSON(fiber.StatusOK, k.viewTrigger(r, t))
}

func (k *console) putTrigger(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.TriggerName](c)
	if err != nil {
		return err
	}
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	spec, err := spec.DecodeTriggerSpec(body)
	if err != nil {
		return err
	}
	t, created, err := k.SetTriggers.PutTrigger(r.lasting(), name, spec)
	if err != nil {
		return err
	}
	return k.sendTrigger(r, t, created)
}

func (k *console) sendTrigger(r *request, t *faas.Trigger, created bool) error {
	if !created {
		return r.sendJSON(fiber.StatusOK, k.viewTrigger(r, t))
	}
	r.respond().Set("Location", "/v1/triggers/"+string(t.Name))
	return r.sendJSON(fiber.StatusCreated, k.viewTrigger(r, t))
}

func (k *console) deleteTrigger(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.TriggerName](c)
	if err != nil {
		return err
	}
	if err := k.SetTriggers.DeleteTrigger(r.lasting(), name); err != nil {
		return err
	}
	return r.sendNothing()
}

// formWait is how long a form waits for its build: who posts the next form, for
// the function's trigger, mostly finds it ready.
const formWait = 10 * time.Second

// registerForm is the original's form. A person is led back to the page, and
// shown what is wrong on one of its own where something is; a program gets what
// the PUT would answer.
func (k *console) registerForm(_ *fiber.Ctx, r *request) error {
	form, done, err := k.readForm(r)
	if err != nil {
		return err
	}
	defer done()
	result, err := k.Forms.RegisterForm(r.lasting(), form)
	if err != nil {
		return err
	}
	if result.Function != nil {
		if err := k.awaitBuild(r, result.Function, formWait); err != nil {
			return err
		}
	}
	switch {
	case !r.accepts(fiber.MIMEApplicationJSON):
		return r.redirect("/")
	case result.Function != nil:
		return k.sendRegistered(r, result.Function)
	}
	return k.sendTrigger(r, result.Trigger, result.Created)
}

// callsURL is where callers reach the triggers: what was set, with the host by
// which this caller knows us where it names none.
func (k *console) callsURL(r *request) string {
	u, err := url.Parse(k.CallsURL)
	if err != nil {
		return k.CallsURL
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "" || err == nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort(trimBrackets(hostOnly(string(r.http.URI().Host()))), u.Port())
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
func (k *console) triggerDescription(c *fiber.Ctx, r *request) error {
	t, err := k.findTrigger(c, r)
	if err != nil {
		return err
	}
	return r.sendJSON(fiber.StatusOK, describeTrigger(t, k.callsURL(r)))
}
