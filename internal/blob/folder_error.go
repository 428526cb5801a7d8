package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// translate makes an error of the disk one of this package.
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

// translateName does so where a name is made: fs.ErrNotExist stays, a key that is a folder of another or
// has one above it is the key's fault.
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

// absent tells that there is no such file, or none can be since a file is where its folder would be.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
