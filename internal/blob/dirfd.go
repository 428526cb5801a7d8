package blob

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dirAt does in the store's folder what each upload needs, with one system call where os.Root needs one for each
// segment of the path. That is safe because every name is a validated key, which has no "..", and no other program
// makes links in the folder.
type dirAt struct{ dir *os.File }

func openAt(root *os.Root) (dirAt, error) {
	dir, err := root.Open(".")
	return dirAt{dir}, err
}

func (d dirAt) close() error { return d.dir.Close() }

func (d dirAt) fd() int { return int(d.dir.Fd()) }

func (d dirAt) mkdir(name string) error {
	return d.wrap("make", name, unix.Mkdirat(d.fd(), name, 0o700))
}

func (d dirAt) remove(name string) error {
	return d.wrap("remove", name, unix.Unlinkat(d.fd(), name, 0))
}

func (d dirAt) rename(from, to string) error {
	return d.wrap("rename to", to, unix.Renameat(d.fd(), from, d.fd(), to))
}

func (d dirAt) link(from, to string) error {
	return d.wrap("link to", to, unix.Linkat(d.fd(), from, d.fd(), to, 0))
}

// create makes a new file and opens it for writing.
func (d dirAt) create(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, d.wrap("create", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d dirAt) wrap(action, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", action, name, err)
}
