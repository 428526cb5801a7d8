package blob

import "errors"

var (
	// ErrNotFound says that there is no object under the key.
	ErrNotFound = errors.New("object not found")
	// ErrExists says that there is one already, and PutOptions.IfAbsent was set.
	ErrExists = errors.New("object exists")
	// ErrUnavailable says that the store could not do it now: unreachable, failing, full, or refusing the
	// credentials. Trying again later may help.
	ErrUnavailable = errors.New("store unavailable")
	// ErrInvalidKey says that the key or prefix breaks the rules of Key.
	ErrInvalidKey = errors.New("invalid object key")
	// ErrMismatch says that a body is not what was announced: shorter or longer than its size, or with
	// another checksum.
	ErrMismatch = errors.New("body is not what was announced")
)
