package api

import (
	"html/template"
	"strings"

	"github.com/gofiber/fiber/v2"

	"davit/internal/faas"
)

// console serves the page and the API of Davit's users.
type console struct {
	ConsoleOptions
	edge     *edge
	guard    *guard
	token    *tokenCheck
	sessions *sessions
	signIns  *signIns
	page     *page
	plain    *template.Template
	invoked  invocations
}

// handler answers one request or returns why not.
type handler func(c *fiber.Ctx, r *request) error

// NewConsole returns the server of the page and the API.
func NewConsole(o ConsoleOptions) *Server {
	e := newEdge("console", o.Log, o.Now, o.Limits, o.Requests)
	k := &console{
		ConsoleOptions: o, edge: e,
		guard:    newGuard(o.Hosts),
		token:    newTokenCheck(o.Token),
		sessions: newSessions(o.Secret, o.Token, o.SessionTTL, o.Now),
		signIns:  newSignIns(o.Now),
		page:     newPage(o.Page),
		plain:    newPlainPages(),
		invoked:  invocations{port: o.Invocations, prefix: "/v1/invocations/"},
	}
	e.errorPage = k.errorPage
	app := e.newApp()
	k.publicRoutes(app)
	k.functionRoutes(app)
	k.triggerRoutes(app)
	k.invocationRoutes(app)
	k.secretRoutes(app)
	k.otherRoutes(app)
	app.Use(k.pageOrNothing)
	e.app = app.Handler()
	s := newServer(e)
	s.signIns = k.signIns
	return s
}

// route adds a handler for a template such as /v1/functions/{name}; a last
// {path} takes all that follows.
func route(app *fiber.App, method, template string, h handler) {
	pattern := strings.NewReplacer("{path}", "*", "{", ":", "}", "").Replace(template)
	app.Add(method, pattern, func(c *fiber.Ctx) error {
		r := requestOf(c)
		r.route = template
		return h(c, r)
	})
}

// get adds a handler for GET and HEAD.
func get(app *fiber.App, template string, h handler) {
	route(app, fiber.MethodGet, template, h)
	route(app, fiber.MethodHead, template, h)
}

// guarded lets requests pass that no foreign page made.
func (k *console) guarded(h handler) handler {
	return func(c *fiber.Ctx, r *request) error {
		if err := k.guard.check(r); err != nil {
			return err
		}
		return h(c, r)
	}
}

// mine lets requests pass that are signed in as well.
func (k *console) mine(h handler) handler {
	return k.guarded(func(c *fiber.Ctx, r *request) error {
		if err := k.signedIn(r); err != nil {
			return err
		}
		return h(c, r)
	})
}

// signedIn is nil for a request with the token, or with a session.
func (k *console) signedIn(r *request) error {
	if token, there := r.bearer(); there {
		if k.token.opens(token) {
			return nil
		}
		return unauthorized("the token in the Authorization header is not the right one")
	}
	if cookie := r.cookie(); cookie != "" {
		if _, ok := k.sessions.read(cookie); ok {
			return nil
		}
		return unauthorized("the session has ended: sign in again")
	}
	return unauthorized("send the token as \"Authorization: Bearer …\", or sign in")
}

func (r *request) cookie() string { return string(r.http.Request.Header.Cookie(cookieName)) }

// publicRoutes are those that need no token. Probes may know us by any name.
func (k *console) publicRoutes(app *fiber.App) {
	get(app, "/healthz", k.health)
	get(app, "/readyz", k.readiness)
	get(app, "/metrics", k.metrics)
	get(app, "/openapi.yaml", k.guarded(k.description))
	get(app, "/sign-in", k.guarded(k.signInPage))
	route(app, fiber.MethodPost, "/v1/session", k.guarded(k.startSession))
	route(app, fiber.MethodDelete, "/v1/session", k.guarded(k.endSession))
}

func (k *console) functionRoutes(app *fiber.App) {
	get(app, "/v1/functions", k.mine(k.listFunctions))
	get(app, "/v1/functions/{name}", k.mine(k.getFunction))
	route(app, fiber.MethodPut, "/v1/functions/{name}", k.mine(k.putFunction))
	route(app, fiber.MethodDelete, "/v1/functions/{name}", k.mine(k.deleteFunction))
	get(app, "/v1/functions/{name}/revisions", k.mine(k.listRevisions))
	get(app, "/v1/functions/{name}/revisions/{n}/log", k.mine(k.buildLog))
	route(app, fiber.MethodPost, "/v1/functions/{name}/rollback", k.mine(k.rollback))
}

func (k *console) triggerRoutes(app *fiber.App) {
	get(app, "/v1/triggers", k.mine(k.listTriggers))
	get(app, "/v1/triggers/{name}", k.mine(k.getTrigger))
	route(app, fiber.MethodPut, "/v1/triggers/{name}", k.mine(k.putTrigger))
	route(app, fiber.MethodDelete, "/v1/triggers/{name}", k.mine(k.deleteTrigger))
	get(app, "/v1/triggers/{name}/openapi", k.mine(k.triggerDescription))
	route(app, fiber.MethodPost, "/register", k.mine(k.registerForm))
	get(app, "/user.html", k.guarded(func(_ *fiber.Ctx, r *request) error { return r.redirect("/") }))
}

func (k *console) invocationRoutes(app *fiber.App) {
	get(app, "/v1/invocations", k.mine(k.listInvocations))
	i := &k.invoked
	get(app, "/v1/invocations/{id}", k.mine(i.get))
	get(app, "/v1/invocations/{id}/result", k.mine(i.result))
	get(app, "/v1/invocations/{id}/result/{path}", k.mine(i.resultFile))
	get(app, "/v1/invocations/{id}/log", k.mine(i.log))
	get(app, "/v1/invocations/{id}/input", k.mine(i.input))
	route(app, fiber.MethodPost, "/v1/invocations/{id}/cancel", k.mine(i.cancel))
	route(app, fiber.MethodPost, "/v1/invocations/{id}/replay", k.mine(i.replay))
}

func (k *console) otherRoutes(app *fiber.App) {
	get(app, "/v1/limits", k.mine(k.limits))
	get(app, "/v1/events", k.mine(k.events))
}

// pageOrNothing serves the page's files, and nothing else: Fiber then tells an
// unknown path from one that takes other methods.
func (k *console) pageOrNothing(c *fiber.Ctx) error {
	r := requestOf(c)
	if err := k.guard.check(r); err != nil {
		return err
	}
	read := r.method == fiber.MethodGet || r.method == fiber.MethodHead
	file := k.page.find(r.path())
	if read && file != nil && file.public {
		return k.page.send(r, file)
	}
	if err := k.signedIn(r); err != nil {
		return err
	}
	if read && file != nil {
		return k.page.send(r, file)
	}
	if file != nil {
		return &faas.Error{Kind: faas.MethodNotAllowed, Detail: "the page is only read", Allow: []string{fiber.MethodGet, fiber.MethodHead}}
	}
	return c.Next()
}
