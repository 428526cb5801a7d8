package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
	"davit/internal/text"
)

// triggers serves calls, and under /-/ the invocations of callers who know an id.
type triggers struct {
	TriggerOptions
	token *tokenCheck
}

// callPrefix is the path under which callers find their invocations.
const callPrefix = "/-/invocations/"

// NewTriggers returns the server of the triggers.
func NewTriggers(o TriggerOptions) *Server {
	o.Limits = o.Limits.withDefaults()
	s := newServer("calls", o.Limits, o.Requests, &answerer{listener: "calls", log: o.Log})
	t := &triggers{TriggerOptions: o, token: newTokenCheck(o.Token)}
	i := &invocations{port: o.Invocations, prefix: callPrefix, public: true, token: t.token, heartbeat: o.Limits.Heartbeat}
	get(s, "/-/healthz", func(r *edge.Request) error { return sendHealth(r) })
	get(s, "/-/invocations/{id}", i.get)
	get(s, "/-/invocations/{id}/result", i.result)
	get(s, "/-/invocations/{id}/result/{path}", i.resultFile)
	get(s, "/-/invocations/{id}/log", i.log)
	s.Handle(http.MethodPost, "/-/invocations/{id}/cancel", i.cancel)
	s.HandleRest(t.callOrNothing)
	return &Server{Server: s, name: "calls"}
}

// callOrNothing leaves paths that begin with /-/ to Fiber, which answers 404 or 405.
func (t *triggers) callOrNothing(r *edge.Request) error {
	if strings.HasPrefix(r.Path(), "/-/") {
		return edge.ErrUnrouted
	}
	return t.call(r)
}

// call runs the trigger that the request matches.
func (t *triggers) call(r *edge.Request) error {
	match, err := t.Matcher.Match(r.Method(), r.Path())
	if err != nil {
		return answerOptions(r, err)
	}
	r.SetRoute("trigger")
	if match.Trigger.Access == faas.AccessToken {
		if err := checkBearer(r, t.token); err != nil {
			return err
		}
	}
	call, err := readCall(r, match)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.LastingContext())
	reply, err := t.Caller.Call(ctx, call)
	if err != nil {
		cancel()
		return err
	}
	setOutcome(r, reply.Invocation)
	if reply.Accepted {
		cancel()
		return sendAccepted(r, call, reply.Invocation)
	}
	return sendResult(r, match.Trigger, reply, cancel)
}

// answerOptions answers OPTIONS with the methods of the triggers at that path; for any other request, it returns err.
func answerOptions(r *edge.Request, err error) error {
	_, known := problemOf(err)
	if r.Method() != http.MethodOptions || known.Kind != faas.MethodNotAllowed {
		return err
	}
	r.SetRoute("trigger")
	r.Set("Allow", strings.Join(known.Allow, ", "))
	return sendNothing(r)
}

// sendAccepted answers 202 with the record, whose links lead to its state, result and log.
func sendAccepted(r *edge.Request, call *faas.Call, inv *faas.Invocation) error {
	r.Set("Location", callPrefix+string(inv.ID))
	if applied := preferenceApplied(call); applied != "" {
		r.Set("Preference-Applied", applied)
	}
	return sendJSON(r, http.StatusAccepted, viewInvocation(inv, callPrefix))
}

// sendResult answers with the zip, or with the one returned file.
func sendResult(r *edge.Request, t *faas.Trigger, reply *faas.Reply, cancel context.CancelFunc) error {
	name, media := string(t.Name)+".zip", "application/zip"
	if reply.Kind == "file" {
		name, media = reply.Filename, mediaByName(reply.Filename)
	}
	setFileHeaders(r, name, media)
	r.Set("Cache-Control", "no-store")
	if err := r.StreamPeeked(http.StatusOK, newClosing(reply.Body, cancel)); err != nil {
		return &faas.Error{
			Kind: faas.Unavailable, Detail: "the command has ended, but its result was lost on the way; fetch it by the invocation's id",
			Invocation: reply.Invocation, RetryAfter: time.Second, Err: err,
		}
	}
	return nil
}

// readCall reads the head of a request. The caller of readCall reads the body, through call.Body.
func readCall(r *edge.Request, match faas.Match) (*faas.Call, error) {
	for _, name := range []string{"Idempotency-Key", "Davit-Callback"} {
		if r.Header(name) != "" {
			return nil, faas.Errorf(faas.NotAllowed, "the header %s is not available yet; leave it out", name)
		}
	}
	if err := refuseEncoded(r); err != nil {
		return nil, err
	}
	call := &faas.Call{
		Match: match, Method: r.Method(), Path: r.Path(), Headers: passedOn(r), ContentType: r.Header("Content-Type"),
		Traceparent: traceparent(r.Header("Traceparent")), RequestID: r.Correlation(), Size: r.Size(), Gone: r.Context().Done(),
	}
	var err error
	if call.Query, call.Zip, err = readFormat(r.RawQuery()); err != nil {
		return nil, err
	}
	call.Zip = call.Zip || accepts(r, "application/zip")
	if call.Mode, err = readMode(r.Header("Davit-Mode")); err != nil {
		return nil, err
	}
	call.Async, call.Wait = readPrefer(r.HeaderValues("Prefer"))
	if call.Body, err = r.Body(int64(match.Trigger.MaxBody)); err != nil {
		return nil, err
	}
	return call, nil
}

// readFormat removes davit-format from the query, because that parameter is not the command's.
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
			return "", false, faas.Errorf(faas.Invalid, "davit-format is %q; the only format to ask for is zip", text.Clip(value, 40))
		}
		zip = true
	}
	return strings.Join(kept, "&"), zip, nil
}

func readMode(v string) (faas.Mode, error) {
	mode := faas.Mode(strings.ToLower(strings.TrimSpace(v)))
	if v != "" && !mode.Known() {
		return "", faas.Errorf(faas.Invalid, "Davit-Mode is %q; it must be warm, standby or job, and no looser than the trigger's mode", text.Clip(v, 40))
	}
	return mode, nil
}

// traceparent returns the header if it is valid (W3C Trace Context), else "".
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

// passedOn returns the headers that a command may see: all but credentials and headers that concern this connection
// only.
func passedOn(r *edge.Request) [][2]string {
	var out [][2]string
	for name, value := range r.Headers() {
		if !isWithheld(strings.ToLower(name)) {
			out = append(out, [2]string{name, value})
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
