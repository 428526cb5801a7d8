package edge

import (
	"context"
	"io"
	"iter"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"davit/internal/text"
)

// Request is one request and its answer. It is valid until its handler returns; the values that its methods return stay
// valid. Only the body, the contexts and the streams are safe for use by several goroutines.
type Request struct {
	life        *life
	http        *fasthttp.RequestCtx
	routed      *fiber.Ctx // nil until a handler is called
	conn        *conn
	id          string // the gateway's
	correlation string // the caller's
	method      string
	route       string // its template; "none" until one matched
	body        *body  // nil: none
	size        int64  // of the body; -1: unknown
	known       bool   // the length of a streamed answer is known
}

// ID returns the gateway's id of the request.
func (r *Request) ID() string { return r.id }

// Correlation returns the caller's id of the request (X-Request-Id or X-Call-Id), or "" if there is none, or none that
// is printable and has at most 128 bytes.
func (r *Request) Correlation() string { return r.correlation }

// Method returns the method as it was sent.
func (r *Request) Method() string { return r.method }

// Path returns the path as it was sent, without the query.
func (r *Request) Path() string { return string(r.http.URI().PathOriginal()) }

// Instance returns the path for an error: at most 512 bytes, never empty.
func (r *Request) Instance() string {
	path := r.Path()
	if path == "" {
		return "/"
	}
	return text.Clip(path, 512)
}

// RawQuery returns the query as it was sent, without the question mark.
func (r *Request) RawQuery() string { return string(r.http.URI().QueryString()) }

// Param returns the part of the path that {name} of the template matched, as it was sent.
func (r *Request) Param(name string) string {
	if name == restParam {
		name = "*"
	}
	return r.routed.Params(name)
}

// Route returns the template that the request matched, or the name given to SetRoute; "none" before that.
func (r *Request) Route() string { return r.route }

// SetRoute names the route of a request that no template matched, for metrics and logs.
func (r *Request) SetRoute(name string) { r.route = name }

// Host returns the Host header.
func (r *Request) Host() string { return string(r.http.Request.Header.Host()) }

// TargetHost returns the host in the request's target, or the Host header if the target has no host.
func (r *Request) TargetHost() string { return string(r.http.URI().Host()) }

// Header returns the first value of a header, or "".
func (r *Request) Header(name string) string { return string(r.http.Request.Header.Peek(name)) }

// HeaderValues returns the values of all lines of a header, in their order.
func (r *Request) HeaderValues(name string) []string {
	var values []string
	for _, line := range r.http.Request.Header.PeekAll(name) {
		values = append(values, string(line))
	}
	return values
}

// Headers returns all headers except those that frame the body, in their order.
func (r *Request) Headers() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for name, value := range r.http.Request.Header.All() {
			if name := string(name); name != framingKey && !yield(name, string(value)) {
				return
			}
		}
	}
}

// AcceptsEncoding reports whether the Accept-Encoding header names an encoding.
func (r *Request) AcceptsEncoding(name string) bool {
	return r.http.Request.Header.HasAcceptEncoding(name)
}

// Cookie returns the value of a cookie, or "".
func (r *Request) Cookie(name string) string { return string(r.http.Request.Header.Cookie(name)) }

// Size returns the size of the body in bytes: 0 if there is no body, and -1 if the size is unknown before the body's
// end.
func (r *Request) Size() int64 { return r.size }

// Body returns the body, or nil if there is none. A body of more than most bytes fails with TooLarge: Body returns the
// error if the size is known, else the Read that exceeds most does. The server reads nothing, and sends no 100
// Continue, before the first Read. Reads fail once the request was answered. Errors of Read are *faas.Error.
func (r *Request) Body(most int64) (io.Reader, error) {
	if r.body == nil {
		return nil, nil
	}
	if r.size > most {
		return nil, tooLarge(most)
	}
	r.body.limit(most)
	return r.body, nil
}

// Context returns a context that ends when the caller hangs up.
func (r *Request) Context() context.Context { return r.conn.ctx }

// LastingContext returns a context that does not end when the caller hangs up. It ends when the context of Shutdown
// ends before the request.
func (r *Request) LastingContext() context.Context { return r.life.base }

// WaitingContext returns a context that ends when the caller hangs up, when the server begins to shut down, and when
// cancel is called.
func (r *Request) WaitingContext() (ctx context.Context, cancel context.CancelFunc) {
	ctx, end := context.WithCancel(r.conn.ctx)
	stop := context.AfterFunc(r.life.draining, end)
	return ctx, func() {
		stop()
		end()
	}
}

// Draining reports whether the server is shutting down.
func (r *Request) Draining() bool { return r.life.draining.Err() != nil }

// Set sets a header of the answer.
func (r *Request) Set(name, value string) { r.http.Response.Header.Set(name, value) }

// Unset removes a header of the answer.
func (r *Request) Unset(name string) { r.http.Response.Header.Del(name) }

// SetCookie sets a cookie by its Name, Value, Path, Expires, HttpOnly and Secure; it is always SameSite=Strict.
func (r *Request) SetCookie(cookie *http.Cookie) {
	var c fasthttp.Cookie
	c.SetKey(cookie.Name)
	c.SetValue(cookie.Value)
	c.SetPath(cookie.Path)
	c.SetExpire(cookie.Expires)
	c.SetHTTPOnly(cookie.HttpOnly)
	c.SetSecure(cookie.Secure)
	c.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	r.http.Response.Header.SetCookie(&c)
}

// Send answers with body, which must not change afterwards. It replaces any earlier answer.
func (r *Request) Send(status int, body []byte) {
	out := &r.http.Response
	out.ResetBody()
	out.SetStatusCode(status)
	if body != nil {
		out.SetBodyRaw(body)
	}
}

// framingKey is a header for the framing of the body, as fasthttp parsed it. No caller can send it, because a header
// name cannot begin with a space.
const framingKey = " framing"

// restParam is the name of the parameter that matches the rest of the path.
const restParam = "path"
