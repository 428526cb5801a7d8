package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"davit/internal/faas"
)

// edge is what both listeners have in common: it opens a request, has Fiber
// route it, and closes it.
type edge struct {
	name      string // of the listener, in logs and metrics
	log       *slog.Logger
	now       func() time.Time
	limits    Limits
	requests  Requests
	http      *fasthttp.Server
	app       fasthttp.RequestHandler
	buffers   copyBuffers
	errorPage func(*request, *problem) bool // answers with HTML where a person asks; nil: never

	base          context.Context    //nolint:containedctx // the life of all requests
	abandon       context.CancelFunc // gives up requests under way
	draining      context.Context    //nolint:containedctx // ends when no new request is taken
	startDraining context.CancelFunc
}

// request is one request under way.
type request struct {
	edge        *edge
	http        *fasthttp.RequestCtx
	conn        *conn
	id          string // ours
	correlation string // the caller's
	method      string
	route       string // its template; "none" until one matched
	body        *body  // nil: none
	size        int64  // of the body; -1: unknown
	known       bool   // the length of the answer's body, where that is a stream
}

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

// encode writes v as JSON. What is given to it can always be encoded.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte(`{}`)
	}
	return b.Bytes()
}

// context ends when the caller hangs up, for what nobody would miss then.
func (r *request) context() context.Context { return r.conn.ctx }

// lasting outlives the caller, for what is not to stop half way.
func (r *request) lasting() context.Context { return r.edge.base }

// path is the request's path as it was sent, without the query.
func (r *request) path() string { return string(r.http.URI().PathOriginal()) }

// header returns a copy of a header's first value.
func (r *request) header(name string) string { return string(r.http.Request.Header.Peek(name)) }

// respond returns the headers of the answer.
func (r *request) respond() *fasthttp.ResponseHeader { return &r.http.Response.Header }

// instance is what a problem says it happened at: the path, without what may be secret.
func (r *request) instance() string {
	path := r.path()
	if path == "" {
		return "/"
	}
	return clip(path, 512)
}

// copyBuffers holds what answers are copied through.
type copyBuffers struct{ pool sync.Pool }

func (b *copyBuffers) get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, copyBytes)
	return &buf
}

func (b *copyBuffers) put(buf *[]byte) { b.pool.Put(buf) }

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

const copyBytes = 64 << 10
