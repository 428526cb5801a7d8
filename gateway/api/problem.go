package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
)

const problemType = "application/problem+json"

// problem is the body of every error (RFC 9457).
type problem struct {
	Type         string             `json:"type"`
	Title        string             `json:"title"`
	Status       int                `json:"status"`
	Detail       string             `json:"detail"`
	Instance     string             `json:"instance"`
	Kind         faas.Kind          `json:"kind"`
	RequestID    string             `json:"request_id"`
	Errors       []faas.FieldError  `json:"errors,omitempty"`
	InvocationID *faas.InvocationID `json:"invocation_id,omitempty"`
	Reason       *faas.Reason       `json:"reason,omitempty"`
	ExitCode     *int               `json:"exit_code,omitempty"`
	LogTail      *string            `json:"log_tail,omitempty"`
}

// statusOf returns the HTTP status and the title of a kind of error.
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

// problemOf returns the problem that the caller gets for err. An error that is no *faas.Error is an internal fault,
// whose text must not leave the process.
func problemOf(err error) (problem, *faas.Error) {
	known, ok := errors.AsType[*faas.Error](err)
	if !ok {
		known = &faas.Error{Kind: faas.Internal, Detail: "the request met a fault of Davit's own; the log has the cause under the request id", Err: err}
	}
	p := problem{Type: "urn:davit:problem:" + string(known.Kind), Kind: known.Kind, Detail: known.Detail, Errors: known.Fields}
	p.Status, p.Title = statusOf(known.Kind)
	if special, ok := errors.AsType[*edge.StatusError](err); ok {
		p.Status, p.Title = special.Status, special.Title
	}
	if len(p.Errors) == 0 && known.Invocation == nil && (known.Kind == faas.Invalid || known.Kind == faas.NotAllowed) {
		p.Errors = []faas.FieldError{{Detail: known.Detail}} // about the whole request
	}
	if inv := known.Invocation; inv != nil {
		p.InvocationID, p.Reason, p.ExitCode = &inv.ID, inv.Reason, inv.ExitCode
	}
	if known.Invocation != nil || known.LogTail != "" {
		p.LogTail = &known.LogTail
	}
	return p, known
}

// answerer turns the errors of one listener into answers.
type answerer struct {
	listener string
	log      *slog.Logger
	page     func(*edge.Request, *problem) bool // answers with HTML and reports true if the request comes from a person; nil: never
}

// answer answers with err, and logs its cause. Every error of the listener is answered here.
func (a *answerer) answer(r *edge.Request, err error) {
	p, known := problemOf(err)
	p.Instance, p.RequestID = r.Instance(), r.ID()
	a.report(r, p.Status, known, err)
	r.Unset("Content-Disposition")
	r.Set("Cache-Control", "no-store")
	if len(known.Allow) > 0 || p.Status == http.StatusMethodNotAllowed {
		r.Set("Allow", strings.Join(known.Allow, ", "))
	}
	if p.Status == http.StatusUnauthorized {
		r.Set("WWW-Authenticate", `Bearer realm="davit"`)
	}
	if after := retryAfter(known); after > 0 {
		r.Set("Retry-After", strconv.Itoa(after))
	}
	setOutcome(r, known.Invocation)
	if a.page != nil && a.page(r, &p) {
		return
	}
	r.Set("Content-Type", problemType)
	r.Send(p.Status, encode(p))
}

// retryAfter returns the value of Retry-After in seconds; 0 means no Retry-After.
func retryAfter(e *faas.Error) int {
	after := e.RetryAfter
	if after <= 0 && (e.Kind == faas.Unavailable || e.Kind == faas.Limited) {
		after = time.Second
	}
	return int(math.Ceil(after.Seconds()))
}

func (a *answerer) report(r *edge.Request, status int, known *faas.Error, err error) {
	attrs := []any{"listener", a.listener, "request_id", r.ID(), "method", r.Method(), "route", r.Route(), "status", status, "error", err}
	if r.Correlation() != "" {
		attrs = append(attrs, "correlation", r.Correlation())
	}
	switch {
	case known.Kind == faas.Internal:
		a.log.Error("request failed", attrs...)
	case known.Kind == faas.Unavailable:
		a.log.Warn("request refused: something is unavailable", attrs...)
	case known.Err != nil:
		a.log.Info("request refused", attrs...)
	default:
		a.log.Debug("request refused", attrs...)
	}
}

// encode returns v as JSON. The type of v must be one that can be encoded.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte(`{}`)
	}
	return b.Bytes()
}
