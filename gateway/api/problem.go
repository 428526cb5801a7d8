package api

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"davit/internal/faas"
)

const problemType = "application/problem+json"

// statusOf is the one table from kinds to statuses and titles.
func statusOf(kind faas.Kind) (status int, title string) {
	switch kind {
	case faas.Invalid:
		return http.StatusBadRequest, "The request cannot be read"
	case faas.NotAllowed:
		return http.StatusUnprocessableEntity, "A value is not allowed"
	case faas.Unauthorized:
		return http.StatusUnauthorized, "Credentials are needed"
	case faas.Forbidden:
		return http.StatusForbidden, "The request is not allowed from there"
	case faas.NotFound:
		return http.StatusNotFound, "Nothing is there"
	case faas.MethodNotAllowed:
		return http.StatusMethodNotAllowed, "The method is not allowed here"
	case faas.Conflict:
		return http.StatusConflict, "The request clashes with what is there"
	case faas.Gone:
		return http.StatusGone, "It has expired"
	case faas.TooLarge:
		return http.StatusRequestEntityTooLarge, "The request is too large"
	case faas.Limited:
		return http.StatusTooManyRequests, "A limit is reached"
	case faas.BuildFailed:
		return http.StatusUnprocessableEntity, "The build failed"
	case faas.FunctionFailed:
		return http.StatusBadGateway, "The function failed"
	case faas.TimedOut:
		return http.StatusGatewayTimeout, "The function ran into its timeout"
	case faas.Cancelled:
		return http.StatusConflict, "The invocation was cancelled"
	case faas.Unavailable:
		return http.StatusServiceUnavailable, "Davit cannot do this now"
	case faas.Internal:
		return http.StatusInternalServerError, "Davit has a fault"
	}
	return http.StatusInternalServerError, "Davit has a fault"
}

// statusError is an error of HTTP itself, whose status says more than its kind.
type statusError struct {
	status int
	title  string
	err    *faas.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func withStatus(status int, title string, kind faas.Kind, detail string) error {
	return &statusError{status, title, &faas.Error{Kind: kind, Detail: detail}}
}

// problemOf makes the problem that a caller may read of err: what is no
// *faas.Error is an internal fault, and its text stays here.
func problemOf(err error) (problem, *faas.Error) {
	known, ok := errors.AsType[*faas.Error](err)
	if !ok {
		known = &faas.Error{Kind: faas.Internal, Detail: "the request met a fault of Davit's own; the log has the cause under the request id", Err: err}
	}
	p := problem{Type: "urn:davit:problem:" + string(known.Kind), Kind: known.Kind, Detail: known.Detail, Errors: known.Fields}
	p.Status, p.Title = statusOf(known.Kind)
	if special, ok := errors.AsType[*statusError](err); ok {
		p.Status, p.Title = special.status, special.title
	}
	if len(p.Errors) == 0 && known.Invocation == nil && (known.Kind == faas.Invalid || known.Kind == faas.NotAllowed) {
		p.Errors = []faas.FieldError{{Detail: known.Detail}} // about all of it
	}
	if inv := known.Invocation; inv != nil {
		p.InvocationID, p.Reason, p.ExitCode = &inv.ID, inv.Reason, inv.ExitCode
	}
	if known.Invocation != nil || known.LogTail != "" {
		p.LogTail = &known.LogTail
	}
	return p, known
}

// answerError is the one place that turns an error into an answer, and logs its cause.
func (r *request) answerError(err error) {
	p, known := problemOf(err)
	p.Instance, p.RequestID = r.instance(), r.id
	r.logError(p.Status, known, err)
	out := &r.http.Response
	out.ResetBody()
	out.SetStatusCode(p.Status)
	h := &out.Header
	h.Del("Content-Disposition")
	h.Set("Cache-Control", "no-store")
	if len(known.Allow) > 0 || p.Status == http.StatusMethodNotAllowed {
		h.Set("Allow", strings.Join(known.Allow, ", "))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="davit"`)
	}
	if after := retryAfter(known); after > 0 {
		h.Set("Retry-After", strconv.Itoa(after))
	}
	r.outcome(known.Invocation)
	if r.edge.errorPage != nil && r.edge.errorPage(r, &p) {
		return
	}
	h.SetContentType(problemType)
	out.SetBodyRaw(encode(p))
}

// retryAfter is in seconds; 0: none.
func retryAfter(e *faas.Error) int {
	after := e.RetryAfter
	if after <= 0 && (e.Kind == faas.Unavailable || e.Kind == faas.Limited) {
		after = time.Second
	}
	return int(math.Ceil(after.Seconds()))
}

func (r *request) logError(status int, known *faas.Error, err error) {
	attrs := []any{"listener", r.edge.name, "request_id", r.id, "method", r.method, "route", r.route, "status", status, "cause", err}
	if r.correlation != "" {
		attrs = append(attrs, "correlation", r.correlation)
	}
	switch {
	case known.Kind == faas.Internal:
		r.edge.log.Error("request met a fault", attrs...)
	case known.Kind == faas.Unavailable:
		r.edge.log.Warn("request refused for now", attrs...)
	case known.Err != nil:
		r.edge.log.Info("request refused", attrs...)
	default:
		r.edge.log.Debug("request refused", attrs...)
	}
}
