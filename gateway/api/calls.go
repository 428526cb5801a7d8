package api

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"davit/internal/faas"
)

// triggers serves calls, and under /-/ what callers ask of theirs.
type triggers struct {
	TriggerOptions
	edge  *edge
	token *tokenCheck
}

// callPrefix is where callers find their invocations.
const callPrefix = "/-/invocations/"

// NewTriggers returns the server of the triggers.
func NewTriggers(o TriggerOptions) *Server {
	e := newEdge("calls", o.Log, o.Now, o.Limits, o.Requests)
	t := &triggers{TriggerOptions: o, edge: e, token: newTokenCheck(o.Token)}
	i := &invocations{port: o.Invocations, prefix: callPrefix, public: true, token: t.token}
	app := e.newApp()
	get(app, "/-/healthz", func(_ *fiber.Ctx, r *request) error { return r.sendHealth() })
	get(app, "/-/invocations/{id}", i.get)
	get(app, "/-/invocations/{id}/result", i.result)
	get(app, "/-/invocations/{id}/result/{path}", i.resultFile)
	get(app, "/-/invocations/{id}/log", i.log)
	route(app, fiber.MethodPost, "/-/invocations/{id}/cancel", i.cancel)
	app.Use(t.callOrNothing)
	e.app = app.Handler()
	return newServer(e)
}

// callOrNothing leaves what begins with /-/ to Fiber's 404 and 405.
func (t *triggers) callOrNothing(c *fiber.Ctx) error {
	r := requestOf(c)
	if strings.HasPrefix(r.path(), "/-/") {
		return c.Next()
	}
	return t.call(r)
}

// call runs the trigger that the request matches.
func (t *triggers) call(r *request) error {
	match, err := t.Matcher.Match(r.method, r.path())
	if err != nil {
		return answerOptions(r, err)
	}
	r.route = "trigger"
	if match.Trigger.Access == faas.AccessToken {
		if err := checkBearer(r, t.token); err != nil {
			return err
		}
	}
	call, err := readCall(r, match)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(t.edge.base)
	reply, err := t.Caller.Call(ctx, call)
	if err != nil {
		cancel()
		return err
	}
	r.outcome(reply.Invocation)
	if reply.Accepted {
		cancel()
		return r.sendAccepted(call, reply.Invocation)
	}
	return r.sendResult(match.Trigger, reply, cancel)
}

// answerOptions answers OPTIONS with the methods of what is there; else it returns err.
func answerOptions(r *request, err error) error {
	_, known := problemOf(err)
	if r.method != fiber.MethodOptions || known.Kind != faas.MethodNotAllowed {
		return err
	}
	r.route = "trigger"
	r.respond().Set("Allow", strings.Join(known.Allow, ", "))
	return r.sendNothing()
}

// sendAccepted answers with the record, which tells where to ask.
func (r *request) sendAccepted(call *Call, inv *faas.Invocation) error {
	h := r.respond()
	h.Set("Location", callPrefix+string(inv.ID))
	if applied := preferenceApplied(call); applied != "" {
		h.Set("Preference-Applied", applied)
	}
	return r.sendJSON(fiber.StatusAccepted, viewInvocation(inv, callPrefix))
}

// sendResult answers with the zip, or the one file.
func (r *request) sendResult(t *faas.Trigger, reply *Reply, cancel context.CancelFunc) error {
	name, media := string(t.Name)+".zip", "application/zip"
	if reply.Kind == "file" {
		name, media = reply.Filename, mediaByName(reply.Filename)
	}
	r.sendFileHeaders(name, media)
	r.respond().Set("Cache-Control", "no-store")
	if err := r.sendPeeked(newClosing(reply.Body, cancel)); err != nil {
		return &faas.Error{
			Kind: faas.Unavailable, Detail: "the command has ended, but its result was lost on the way; fetch it by the invocation's id",
			Invocation: reply.Invocation, RetryAfter: time.Second, Err: err,
		}
	}
	return nil
}

// readCall reads all of a request but its body.
func readCall(r *request, match faas.Match) (*Call, error) {
	h := &r.http.Request.Header
	for _, name := range []string{"Idempotency-Key", "Davit-Callback"} {
		if len(h.Peek(name)) > 0 {
			return nil, faas.Errorf(faas.NotAllowed, "the header %s is not available yet; leave it out", name)
		}
	}
	if err := r.refuseEncoded(); err != nil {
		return nil, err
	}
	call := &Call{
		Match: match, Method: r.method, Path: r.path(), Headers: passedOn(h), ContentType: r.header("Content-Type"),
		Traceparent: traceparent(r.header("Traceparent")), RequestID: r.correlation, Size: r.size, Gone: r.conn.ctx.Done(),
	}
	var err error
	if call.Query, call.Zip, err = readFormat(string(r.http.URI().QueryString())); err != nil {
		return nil, err
	}
	call.Zip = call.Zip || r.accepts("application/zip")
	if call.Mode, err = readMode(r.header("Davit-Mode")); err != nil {
		return nil, err
	}
	call.Async, call.Wait = readPrefer(h)
	if r.body == nil {
		return call, nil
	}
	most := int64(match.Trigger.MaxBody)
	if r.size > most {
		return nil, tooLarge(most)
	}
	r.body.limit(most)
	call.Body = r.body
	return call, nil
}

// readFormat takes davit-format, which is ours, out of the query.
func readFormat(raw string) (rest string, zip bool, err error) {
	if !strings.Contains(raw, "davit-format") {
		return raw, false, nil
	}
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != "davit-format" {
			kept = append(kept, part)
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil || value != "zip" {
			return "", false, faas.Errorf(faas.Invalid, "davit-format is %q; the only format to ask for is zip", clip(value, 40))
		}
		zip = true
	}
	return strings.Join(kept, "&"), zip, nil
}

func readMode(v string) (faas.Mode, error) {
	mode := faas.Mode(strings.ToLower(strings.TrimSpace(v)))
	if v != "" && !mode.Known() {
		return "", faas.Errorf(faas.Invalid, "Davit-Mode is %q; it must be warm, standby or job, and no looser than the trigger's mode", clip(v, 40))
	}
	return mode, nil
}

// traceparent is the header where it is valid (W3C Trace Context), else "".
func traceparent(v string) string {
	parts := strings.Split(v, "-")
	if len(parts) < 4 || len(v) > 128 || parts[0] == "00" && len(parts) > 4 {
		return ""
	}
	for i, size := range []int{2, 32, 16, 2} {
		if len(parts[i]) != size || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return ""
		}
	}
	if parts[0] == "ff" || strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return ""
	}
	return v
}

// passedOn lists the headers that a command may see: none that is a credential,
// and none that is about this connection only.
func passedOn(h *fasthttp.RequestHeader) [][2]string {
	var out [][2]string
	for name, value := range h.All() {
		if name := string(name); name != framingKey && !isWithheld(strings.ToLower(name)) {
			out = append(out, [2]string{name, string(value)})
		}
	}
	return out
}

func isWithheld(name string) bool {
	ours := []string{
		"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
		"content-length", "cookie", "traceparent",
	}
	if slices.Contains(ours, name) {
		return true
	}
	secret := []string{"authorization", "token", "secret", "password", "passwd", "credential", "api-key", "apikey", "access-key", "subscription-key", "session", "csrf", "xsrf", "client-cert"}
	return slices.ContainsFunc(secret, func(word string) bool { return strings.Contains(name, word) })
}
