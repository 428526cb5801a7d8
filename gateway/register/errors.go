package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Refused returns the NotAllowed error for fields of a function, a trigger or a form. what is "function", "trigger" or
// "form".
func Refused(what string, fields []faas.FieldError) error {
	e := faas.Errorf(faas.NotAllowed, "the %s has a field that is not allowed", what)
	if len(fields) > 1 {
		e.Detail = fmt.Sprintf("the %s has %d fields that are not allowed", what, len(fields))
	}
	e.Fields = fields
	return e
}

// readable returns an Unavailable error with a text for users if the object store did not answer. It returns other
// errors unchanged.
func readable(err error) error {
	if _, ok := errors.AsType[*faas.Error](err); ok {
		return err
	}
	if errors.Is(err, blob.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return faas.UnavailableError("the object store does not answer; try again in a moment", 2*time.Second, err)
	}
	return err
}

func isNotFound(err error) bool { return faas.KindOf(err) == faas.NotFound }
