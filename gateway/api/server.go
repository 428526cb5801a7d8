package api

import "davit/gateway/edge"

// Server serves one listener. NewConsole and NewTriggers return Servers.
type Server struct {
	*edge.Server
	name    string
	signIns *signIns // nil unless a console's
}

// NewSignInCode returns a code that signs in once, within 10 minutes, at /sign-in?code=….
// It panics for a server of NewTriggers.
func (s *Server) NewSignInCode() string { return s.signIns.newCode() }

func newServer(name string, limits Limits, requests Requests, errors *answerer) *edge.Server {
	return edge.New(edge.Options{Name: name, Limits: limits.edge(), Log: errors.log, Counted: requests.Counted, Fault: errors.answer})
}
