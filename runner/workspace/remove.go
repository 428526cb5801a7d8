package workspace

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep a remover descends before it moves folders up. It is bounded because each level keeps a
// descriptor open.
const maxDepth = 48

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// remover removes trees of any mode and depth.
type remover struct {
	top   int      // descriptor of the folder into which deep folders are moved
	moved []string // names in top, still to be removed
	made  int
}

// removeAt removes the entry name of the folder with the descriptor dir.
func removeAt(dir int, name string) error {
	r := remover{top: dir}
	err := r.remove(dir, name, 0)
	for err == nil && len(r.moved) > 0 {
		last := len(r.moved) - 1
		name := r.moved[last]
		r.moved = r.moved[:last]
		err = r.remove(dir, name, 0)
	}
	return err
}

func (r *remover) remove(dir int, name string, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM):
		return fmt.Errorf("remove %q: %w", name, err)
	}
	if depth >= maxDepth {
		return r.moveUp(dir, name)
	}
	if err := r.empty(dir, name, depth); err != nil {
		return err
	}
	if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("remove folder %q: %w", name, err)
	}
	return nil
}

// empty removes the entries of a folder.
func (r *remover) empty(dir int, name string, depth int) error {
	fd, err := openWritable(dir, name)
	if err != nil {
		return fmt.Errorf("open folder %q: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	for {
		names, err := readNames(fd)
		if err != nil {
			return fmt.Errorf("read folder %q: %w", name, err)
		}
		if len(names) == 0 {
			return nil
		}
		for _, n := range names {
			if err := r.remove(fd, n, depth+1); err != nil {
				return err
			}
		}
	}
}

// moveUp moves a folder to top, where it is removed later.
func (r *remover) moveUp(dir int, name string) error {
	fd, err := openWritable(dir, name) // moving a folder writes to it
	if err != nil {
		return fmt.Errorf("open folder %q: %w", name, err)
	}
	_ = unix.Close(fd)
	for {
		r.made++
		up := fmt.Sprintf(".davit-removed-%d", r.made)
		err := unix.Renameat2(dir, name, r.top, up, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return fmt.Errorf("move folder %q: %w", name, err)
		}
		r.moved = append(r.moved, up)
		return nil
	}
}

// openWritable opens a folder and makes it writable if it is not, so that its entries can be removed.
func openWritable(dir int, name string) (int, error) {
	fd, err := unix.Openat(dir, name, openDir, 0)
	if errors.Is(err, unix.EACCES) {
		if err := unix.Fchmodat(dir, name, 0o700, 0); err != nil {
			return -1, err
		}
		fd, err = unix.Openat(dir, name, openDir, 0)
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&0o700 != 0o700 {
		err = unix.Fchmod(fd, 0o700)
		if err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// readNames returns the first names of a folder, without "." and "..": as many as one read returns.
func readNames(fd int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, err
	}
	var buf [16 << 10]byte
	var names []string
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return names, err
		}
		if _, _, names = unix.ParseDirent(buf[:n], -1, names); len(names) > 0 {
			return names, nil
		}
	}
}
