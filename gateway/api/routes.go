package api

import (
	"github.com/gofiber/fiber/v2"

	"davit/internal/faas"
)

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

func (k *console) secretRoutes(app *fiber.App) {
	get(app, "/v1/secrets", k.mine(k.listSecrets))
	get(app, "/v1/secrets/{name}", k.mine(k.getSecret))
	route(app, fiber.MethodPut, "/v1/secrets/{name}", k.mine(k.putSecret))
	route(app, fiber.MethodDelete, "/v1/secrets/{name}", k.mine(k.deleteSecret))
}
