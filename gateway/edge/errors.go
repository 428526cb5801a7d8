package edge

import (
	"errors"

	"davit/internal/faas"
)

// ErrUnrouted is returned by the handler of Server.HandleRest for a request that it does not serve. The request then
// fails with MethodNotAllowed if a template matches the path but not the method, else with NotFound.
var ErrUnrouted = errors.New("nothing serves this request")

// StatusError is an error with an HTTP status that is more specific than the kind of Err.
type StatusError struct {
	Status int
	Title  string
	Err    *faas.Error
}

// Error returns the text of Err.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StatusError) Unwrap() error { return e.Err }

func withStatus(status int, title string, kind faas.Kind, detail string) error {
	return &StatusError{status, title, &faas.Error{Kind: kind, Detail: detail}}
}
