package api

import (
	"context"
	"errors"
	"net"
)

// Server serves one listener.
type Server struct{}

var errUnwritten = errors.New("not written yet")

// NewConsole returns the server of the console and its API.
func NewConsole(o ConsoleOptions) *Server { return &Server{} }

// NewTriggers returns the server of the triggers.
func NewTriggers(o TriggerOptions) *Server { return &Server{} }

// NewSignInCode returns a code that opens /sign-in?code=… once within 10 minutes.
func (s *Server) NewSignInCode() string { return "" }

// Serve answers requests on ln until Shutdown, and returns nil then.
func (s *Server) Serve(ln net.Listener) error { return errUnwritten }

// Shutdown stops accepting, lets requests under way end, and closes what is left when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return errUnwritten }
