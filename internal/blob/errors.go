package blob

import "errors"

var (
	// ErrNotFound says that there is no object under the key.
	ErrNotFound = errors.New("object not found")
	// ErrExists says that there is an object under the key, and PutOptions.IfAbsent was set.
	ErrExists = errors.New("object exists")
	// ErrUnavailable says that the store is unreachable, fails, is full, or refuses the credentials. Another try may
	// succeed later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrInvalidKey says that the key or prefix breaks a rule of Key.
	ErrInvalidKey = errors.New("invalid object key")
	// ErrMismatch says that a body is shorter or longer than its announced size, or has another checksum.
	ErrMismatch = errors.New("the body differs from its announced size or checksum")
)
