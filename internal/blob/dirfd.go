package blob

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dirAt is the store's folder for what each upload does. Names are keys that were validated: they do not
// climb, and nobody else makes links in the folder, so one call of the system does what an os.Root takes
// one a segment for.
type dirAt struct{ dir *os.File }

func openAt(root *os.Root) (dirAt, error) {
	dir, err := root.Open(".")
	return dirAt{dir}, err
}

func (d dirAt) close() error { return d.dir.Close() }

func (d dirAt) fd() int { return int(d.dir.Fd()) }

func (d dirAt) mkdir(name string) error {
	return d.said("make", name, unix.Mkdirat(d.fd(), name, 0o700))
}

func (d dirAt) remove(name string) error {
	return d.said("remove", name, unix.Unlinkat(d.fd(), name, 0))
}

func (d dirAt) rename(from, to string) error {
	return d.said("name", to, unix.Renameat(d.fd(), from, d.fd(), to))
}

func (d dirAt) link(from, to string) error {
	return d.said("name", to, unix.Linkat(d.fd(), from, d.fd(), to, 0))
}

// create makes a file that is not there yet, to be written.
func (d dirAt) create(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, d.said("create", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d dirAt) said(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, name, err)
}
