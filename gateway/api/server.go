package api

import "davit/gateway/edge"

// Server serves one listener. NewTriggers returns a Server.
type Server struct {
	*edge.Server
	name string
}

// ConsoleServer serves the console's listener. NewConsole returns a ConsoleServer.
type ConsoleServer struct {
	*Server
	codes *signIns
}

// NewSignInCode returns a code that signs in once, within 10 minutes, at /sign-in?code=…. It returns a Limited error
// while 1000 codes can still be used.
func (s *ConsoleServer) NewSignInCode() (string, error) { return s.codes.newCode() }

func newServer(name string, limits Limits, requests Requests, errors *answerer) *edge.Server {
	return edge.New(edge.Options{Name: name, Limits: limits.Limits, Log: errors.log, Counted: requests.Counted, Fault: errors.answer})
}
