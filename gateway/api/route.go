package api

import (
	"net/http"

	"davit/gateway/edge"
)

// handler answers one request, or returns an error, which answerer.answer answers.
type handler = func(r *edge.Request) error

// get adds a handler for GET and HEAD.
func get(s *edge.Server, template string, h handler) {
	s.Handle(http.MethodGet, template, h)
	s.Handle(http.MethodHead, template, h)
}
