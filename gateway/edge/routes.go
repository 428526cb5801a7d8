package edge

import (
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// New returns a server without handlers.
func New(o Options) *Server {
	s := &Server{
		life: newLife(o.Name, o.Log), limits: o.Limits.withDefaults(), counted: o.Counted, fault: o.Fault,
		conns: make(map[*conn]struct{}),
	}
	s.http = &fasthttp.Server{
		Handler:               s.handle,
		ErrorHandler:          s.refuse,
		HeaderReceived:        hideBody,
		ReadBufferSize:        s.limits.HeaderBytes,
		Concurrency:           2 * s.limits.Connections,
		ReduceMemoryUsage:     true, // releases the buffers between requests
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		SecureErrorLogMessage: true,
		Logger:                silent{},
	}
	s.app = s.newApp()
	return s
}

// silent drops fasthttp's log, because ServeConn returns the same errors.
type silent struct{}

func (silent) Printf(string, ...any) {}

func (s *Server) newApp() *fiber.App {
	return fiber.New(fiber.Config{
		DisableStartupMessage:        true,
		Immutable:                    true,
		CaseSensitive:                true,
		StrictRouting:                true,
		DisableDefaultContentType:    true,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			r := requestOf(c)
			s.fault(r, routingError(c, r, err))
			return nil
		},
	})
}

// Handle adds a handler for a method and a template such as /v1/functions/{name}. {path} at the end of a template
// matches the rest of the path, with its slashes. Options.Fault answers an error of h. Handle must not be called after
// Serve.
func (s *Server) Handle(method, template string, h func(r *Request) error) {
	pattern := strings.NewReplacer("{"+restParam+"}", "*", "{", ":", "}", "").Replace(template)
	s.app.Add(method, pattern, func(c *fiber.Ctx) error {
		r := requestOf(c)
		r.routed, r.route = c, template
		return h(r)
	})
}

// HandleRest adds the handler for requests that no template and method matches; h may return ErrUnrouted. It must be
// called after Handle.
func (s *Server) HandleRest(h func(r *Request) error) {
	s.app.Use(func(c *fiber.Ctx) error {
		err := h(requestOf(c))
		if errors.Is(err, ErrUnrouted) {
			return c.Next()
		}
		return err
	})
}
