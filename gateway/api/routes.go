package api

import (
	"net/http"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// NewConsole returns the server of the page and the API.
func NewConsole(o ConsoleOptions) *ConsoleServer {
	o.Limits = o.Limits.withDefaults()
	k := newConsole(o)
	s := newServer("console", o.Limits, o.Requests, &answerer{listener: "console", log: o.Log, page: k.signIn.errorPage})
	k.publicRoutes(s)
	k.functionRoutes(s)
	k.triggerRoutes(s)
	k.invocationRoutes(s)
	k.secretRoutes(s)
	k.otherRoutes(s)
	s.HandleRest(k.pageOrNothing)
	return &ConsoleServer{Server: &Server{Server: s, name: "console"}, codes: k.signIn.codes}
}

func newConsole(o ConsoleOptions) *console {
	k := &console{
		ConsoleOptions: o,
		guard:          newGuard(o.Hosts),
		page:           newPage(o.Page),
		invoked:        invocations{port: o.Invocations, prefix: "/v1/invocations/", heartbeat: o.Limits.Heartbeat},
	}
	limits := &k.Limits
	k.signIn = &signIn{
		token: newTokenCheck(o.Token), sessions: newSessions(o.Secret, o.Token, o.SessionTTL, o.Sessions, o.Now), codes: newSignIns(o.Now),
		secure: o.Secure, plain: newPlainPages(), log: o.Log,
	}
	files := &uploads{dir: o.TempDir, limits: limits}
	k.functions = &functions{reader: o.Functions, registrar: o.Register, changer: o.Change, slots: o.Slots, limits: limits, uploads: files}
	k.triggers = &triggersAPI{
		reader: o.Triggers, registrar: o.SetTriggers, forms: o.Forms, functions: k.functions, uploads: files,
		limits: limits, callsURL: callsURL(o.CallsURL),
	}
	k.secrets = &secretsAPI{store: o.Secrets, limits: limits}
	return k
}

// publicRoutes adds the routes that need no token. Routes of probes are not guarded, because probes may use any host
// name.
func (k *console) publicRoutes(s *edge.Server) {
	get(s, "/healthz", k.health)
	get(s, "/readyz", k.readiness)
	get(s, "/metrics", k.metrics)
	get(s, "/openapi.yaml", k.guarded(k.description))
	get(s, "/sign-in", k.guarded(k.signIn.show))
	s.Handle(http.MethodPost, "/v1/session", k.guarded(k.signIn.start))
	s.Handle(http.MethodDelete, "/v1/session", k.guarded(k.signIn.end))
}

func (k *console) functionRoutes(s *edge.Server) {
	get(s, "/v1/functions", k.authenticated(k.functions.list))
	get(s, "/v1/functions/{name}", k.authenticated(k.functions.get))
	s.Handle(http.MethodPut, "/v1/functions/{name}", k.authenticated(k.functions.put))
	s.Handle(http.MethodDelete, "/v1/functions/{name}", k.authenticated(k.functions.delete))
	get(s, "/v1/functions/{name}/revisions", k.authenticated(k.functions.listRevisions))
	get(s, "/v1/functions/{name}/revisions/{n}/log", k.authenticated(k.functions.buildLog))
	s.Handle(http.MethodPost, "/v1/functions/{name}/rollback", k.authenticated(k.functions.rollback))
}

func (k *console) triggerRoutes(s *edge.Server) {
	get(s, "/v1/triggers", k.authenticated(k.triggers.list))
	get(s, "/v1/triggers/{name}", k.authenticated(k.triggers.get))
	s.Handle(http.MethodPut, "/v1/triggers/{name}", k.authenticated(k.triggers.put))
	s.Handle(http.MethodDelete, "/v1/triggers/{name}", k.authenticated(k.triggers.delete))
	get(s, "/v1/triggers/{name}/openapi", k.authenticated(k.triggers.describe))
	s.Handle(http.MethodPost, "/register", k.authenticated(k.triggers.registerForm))
	get(s, "/user.html", k.guarded(func(r *edge.Request) error { return redirectTo(r, "/") }))
}

func (k *console) invocationRoutes(s *edge.Server) {
	get(s, "/v1/invocations", k.authenticated(k.listInvocations))
	i := &k.invoked
	get(s, "/v1/invocations/{id}", k.authenticated(i.get))
	get(s, "/v1/invocations/{id}/result", k.authenticated(i.result))
	get(s, "/v1/invocations/{id}/result/{path}", k.authenticated(i.resultFile))
	get(s, "/v1/invocations/{id}/log", k.authenticated(i.log))
	get(s, "/v1/invocations/{id}/input", k.authenticated(i.input))
	s.Handle(http.MethodPost, "/v1/invocations/{id}/cancel", k.authenticated(i.cancel))
	s.Handle(http.MethodPost, "/v1/invocations/{id}/replay", k.authenticated(i.replay))
}

func (k *console) otherRoutes(s *edge.Server) {
	get(s, "/v1/limits", k.authenticated(k.limits))
	get(s, "/v1/events", k.authenticated(k.events))
}

// pageOrNothing serves the page's files. It leaves every other path to Fiber, which answers 404 or 405.
func (k *console) pageOrNothing(r *edge.Request) error {
	if err := k.guard.check(r); err != nil {
		return err
	}
	read := r.Method() == http.MethodGet || r.Method() == http.MethodHead
	file := k.page.find(r.Path())
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
		return &faas.Error{Kind: faas.MethodNotAllowed, Detail: "the page is only read", Allow: []string{http.MethodGet, http.MethodHead}}
	}
	return edge.ErrUnrouted
}

func (k *console) secretRoutes(s *edge.Server) {
	get(s, "/v1/secrets", k.authenticated(k.secrets.list))
	get(s, "/v1/secrets/{name}", k.authenticated(k.secrets.get))
	s.Handle(http.MethodPut, "/v1/secrets/{name}", k.authenticated(k.secrets.put))
	s.Handle(http.MethodDelete, "/v1/secrets/{name}", k.authenticated(k.secrets.delete))
}
