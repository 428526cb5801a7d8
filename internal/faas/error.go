package faas

import (
	"errors"
	"fmt"
	"time"
)

// FieldError says what is wrong with one field.
type FieldError struct {
	Pointer string `json:"pointer"` // JSON pointer into what was sent, e.g. "/warm/max"
	Detail  string `json:"detail"`
}

// Error is an error that a user may read: Detail says what is wrong and what to do about it and holds no secret; Err is
// the cause, for the log only.
type Error struct {
	Kind       Kind
	Detail     string
	Fields     []FieldError
	RetryAfter time.Duration // > 0: when it is worth another try
	Invocation *Invocation   // the invocation it is about, if any
	LogTail    string        // the last bytes of that invocation's log
	Allow      []string      // with MethodNotAllowed: the methods that there are
	Err        error
}

// Error returns the detail and the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Detail, e.Err)
	}
	return e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, else Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Errorf returns an *Error of that kind whose detail is formatted.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// UnavailableError is an Unavailable error: what failed with err may work when the caller repeats it after retryAfter.
// detail says what is unavailable; err stays inside the process.
func UnavailableError(detail string, retryAfter time.Duration, err error) *Error {
	return &Error{Kind: Unavailable, Detail: detail, RetryAfter: retryAfter, Err: err}
}

// IsUnavailable reports whether err, or an error that it wraps, is of the kind Unavailable: a repetition may succeed.
func IsUnavailable(err error) bool { return KindOf(err) == Unavailable }

// OrUnavailable returns the *Error in err's chain. If there is none, the error is Unavailable, as UnavailableError
// makes it.
func OrUnavailable(err error, detail string, retryAfter time.Duration) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return UnavailableError(detail, retryAfter, err)
}

// InternalUnavailable is OrUnavailable for an error of a part of Davit: if the part's own error is Internal, the part
// is unavailable, too.
func InternalUnavailable(err error, detail string, retryAfter time.Duration) *Error {
	if e := OrUnavailable(err, detail, retryAfter); e.Kind != Internal {
		return e
	}
	return UnavailableError(detail, retryAfter, err)
}
