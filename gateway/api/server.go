package api

import "davit/gateway/edge"

// Server serves one listener. It is made by NewConsole or NewTriggers.
type Server struct {
	*edge.Server
	name    string
	signIns *signIns // of a console
}

// NewSignInCode returns a code that opens /sign-in?code=… once, within 10
// minutes. Only a console has one.
func (s *Server) NewSignInCode() string { return s.signIns.newCode() }

func newServer(name string, limits Limits, requests Requests, errors *answerer) *edge.Server {
	return edge.New(edge.Options{Name: name, Limits: limits.edge(), Log: errors.log, Counted: requests.Counted, Fault: errors.answer})
}
