package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// translate wraps an error of the file system in one of this package.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case absent(err):
		return ErrNotFound
	}
	return unavailable(err)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// translateName does the same for the creation of a name, with two differences: fs.ErrNotExist stays, and a key that is
// a folder of another object, or has an object above it, is ErrInvalidKey.
func translateName(err error) error {
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return err
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist),
		errors.Is(err, syscall.ENOTEMPTY):
		return fmt.Errorf("%w: it is a folder of another object, or another is a folder of it", ErrInvalidKey)
	}
	return unavailable(err)
}

// absent reports whether there is no such file. ENOTDIR counts because a file is where its folder would be.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
