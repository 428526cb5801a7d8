package edge

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"davit/internal/faas"
	"davit/internal/text"
)

// routingError returns the *faas.Error for an error of Fiber's routing, and any other error unchanged.
func routingError(c *fiber.Ctx, r *Request, err error) error {
	var routing *fiber.Error
	if !errors.As(err, &routing) {
		return err
	}
	if routing.Code == fiber.StatusMethodNotAllowed {
		allow := strings.Split(c.GetRespHeader(fiber.HeaderAllow), ", ")
		return &faas.Error{Kind: faas.MethodNotAllowed, Allow: allow, Detail: fmt.Sprintf("%s takes no %s; its methods are %s", r.Instance(), text.Clip(r.method, 20), strings.Join(allow, ", "))}
	}
	return faas.Errorf(faas.NotFound, "nothing is served at %s", r.Instance())
}

// hideBody removes the headers that frame the body, so that fasthttp considers the request complete and does not read
// the body (see conn). It keeps their values under framingKey.
func hideBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	size := h.ContentLength()
	expect := h.IsHTTP11() && strings.EqualFold(string(h.Peek("Expect")), "100-continue")
	if size > 0 || size == lengthUnknown {
		framing := strconv.AppendInt(nil, int64(size), 10)
		if expect {
			framing = append(framing, '+')
		}
		h.SetContentLength(0)
		h.SetCanonical([]byte(framingKey), framing)
	}
	h.Del("Expect")
	return fasthttp.RequestConfig{}
}

type requestKey struct{}

func requestOf(c *fiber.Ctx) *Request {
	r, _ := c.Context().UserValue(requestKey{}).(*Request)
	return r
}

func (s *Server) begin(ctx *fasthttp.RequestCtx) *Request {
	c, _ := ctx.Conn().(*conn)
	h := &ctx.Request.Header
	r := &Request{life: s.life, http: ctx, conn: c, id: newRequestID(), method: string(h.Method()), route: "none"}
	r.correlation = correlation(h)
	if framing := string(h.PeekCanonical([]byte(framingKey))); framing != "" {
		digits, expect := strings.CutSuffix(framing, "+")
		r.size, _ = strconv.ParseInt(digits, 10, 64)
		r.body = newBody(c, r.size, expect)
	}
	ctx.SetUserValue(requestKey{}, r)
	return r
}

func newRequestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// correlation returns the caller's id of the request if the id is printable and has at most 128 bytes, else "".
func correlation(h *fasthttp.RequestHeader) string {
	for _, name := range []string{"X-Request-Id", "X-Call-Id"} {
		if v := h.Peek(name); len(v) > 0 && len(v) <= 128 && isPrintable(v) {
			return string(v)
		}
	}
	return ""
}

func isPrintable(v []byte) bool {
	return !slices.ContainsFunc(v, func(b byte) bool { return b < ' ' || b > '~' })
}

// handle answers one request. fasthttp calls it.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := s.begin(ctx)
	s.run(r)
	s.finish(r)
}

// run answers the request, also if a handler panics.
func (s *Server) run(r *Request) {
	defer func() {
		if fault := recover(); fault != nil {
			r.http.Response.Reset()
			r.http.SetConnectionClose()
			s.fault(r, fmt.Errorf("panic: %v\n%s", fault, debug.Stack()))
		}
	}()
	if version := r.http.Request.Header.Protocol(); !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		r.http.SetConnectionClose()
		s.fault(r, withStatus(http.StatusHTTPVersionNotSupported, "HTTP/1.1 is needed", faas.Invalid, "this listener speaks HTTP/1.1"))
		return
	}
	if fault := headerFault(&r.http.Request.Header); fault != "" {
		r.http.SetConnectionClose()
		s.fault(r, faas.Errorf(faas.Invalid, "%s", fault))
		return
	}
	if !slices.Contains(fiber.DefaultMethods, r.method) {
		r.http.Request.Header.SetMethod(http.MethodTrace) // no route has TRACE: Fiber answers 404 or 405
	}
	s.route(r.http)
}

// headerFault returns why a header that fasthttp accepts is refused, or "". It refuses headers that proxies or other
// servers may parse differently, because one of them could then take a body for a request.
func headerFault(h *fasthttp.RequestHeader) string {
	target := h.RequestURI()
	if bytes.HasPrefix(target, []byte("//")) && (len(h.Host()) == 0 || bytes.Contains(target, []byte("://"))) {
		return "a target that begins with // may be taken for one that names a host"
	}
	raw := h.RawHeaders()
	if bytes.Contains(raw, []byte("\n ")) || bytes.Contains(raw, []byte("\n\t")) {
		return "a header line goes on in a second line; send it in one"
	}
	var length, encoding bool
	for line := range bytes.Lines(raw) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case bytes.ContainsAny(name, " \t") && len(bytes.TrimSpace(line)) > 0:
			return "a header name holds a space"
		case bytes.EqualFold(name, []byte("Content-Length")):
			length = true
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			encoding = true
			if !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
				return "the only Transfer-Encoding that is understood is chunked"
			}
		}
	}
	if length && encoding {
		return "the request has both a Content-Length and a Transfer-Encoding; send one"
	}
	return ""
}

// finish completes the answer before fasthttp writes it.
func (s *Server) finish(r *Request) {
	out := &r.http.Response
	if out.IsBodyStream() && !r.known && !r.http.Request.Header.IsHTTP11() {
		s.fault(r, withStatus(http.StatusHTTPVersionNotSupported, "HTTP/1.1 is needed", faas.Invalid,
			"the length of this answer is not known before its end, which HTTP/1.0 cannot tell apart from a lost connection: use HTTP/1.1"))
	}
	h := &out.Header
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", cmp.Or(r.correlation, r.id))
	if r.body != nil && !r.body.end() {
		h.SetConnectionClose()
		r.conn.linger = true
	}
	if r.conn.isDraining() {
		h.SetConnectionClose()
	}
	s.counted(s.name, r.route, r.countedMethod(), out.StatusCode())
	r.conn.next()
}

// countedMethod returns the method as a label of metrics. Unknown methods are "other", because callers must not be able
// to add labels.
func (r *Request) countedMethod() string {
	if slices.Contains(fiber.DefaultMethods, r.method) {
		return r.method
	}
	return "other"
}

// refuse answers bytes that fasthttp could not parse as a request.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	c, _ := ctx.Conn().(*conn)
	ctx.Response.Reset()
	r := &Request{life: s.life, http: ctx, conn: c, id: newRequestID(), method: "other", route: "none"}
	var small *fasthttp.ErrSmallBuffer
	var refusal error
	switch {
	case c.fault != nil:
		refusal = &faas.Error{Kind: faas.Invalid, Detail: c.fault.Error()}
	case errors.As(err, &small):
		refusal = withStatus(http.StatusRequestHeaderFieldsTooLarge, "The header is too large", faas.TooLarge,
			fmt.Sprintf("the request line and headers are larger than the %s that are allowed", faas.Bytes(s.limits.HeaderBytes)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		refusal = withStatus(http.StatusRequestTimeout, "The request did not arrive", faas.Invalid,
			fmt.Sprintf("the header did not arrive within %s", s.limits.Header))
	default:
		refusal = &faas.Error{Kind: faas.Invalid, Detail: "this is no HTTP request that could be read", Err: err}
	}
	s.fault(r, refusal)
	c.linger = true
	s.counted(s.name, r.route, r.method, ctx.Response.StatusCode())
}
