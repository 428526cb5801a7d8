package edge

import (
	"errors"

	"davit/internal/faas"
)

// ErrUnrouted is what the handler of Server.HandleRest returns for a request that it does not serve either. The request
// then fails with NotFound, or with MethodNotAllowed where a template matches the path but not the method.
var ErrUnrouted = errors.New("nothing serves this request")

// StatusError is an error whose HTTP status says more than the kind of Err does.
type StatusError struct {
	Status int
	Title  string
	Err    *faas.Error
}

// Error is the text of Err.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StatusError) Unwrap() error { return e.Err }

func withStatus(status int, title string, kind faas.Kind, detail string) error {
	return &StatusError{status, title, &faas.Error{Kind: kind, Detail: detail}}
}
