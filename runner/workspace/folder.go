package workspace

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// maxFolderBytes is how large a folder itself may have grown: it never shrinks, and
// a large one is slow.
const maxFolderBytes = 64 << 10

// node is what a file or folder is.
type node struct {
	dev, ino uint64
	mode     uint32
	uid, gid uint32
}

func nodeOf(st *unix.Stat_t) node {
	return node{dev: st.Dev, ino: st.Ino, mode: st.Mode, uid: st.Uid, gid: st.Gid}
}

// folder is what a folder was when it was made.
type folder struct {
	node  node
	attrs string // names of its extended attributes
	flags int    // of its inode; 0 where the file system has none

	changed unix.Timespec // when it was last changed, as far as noted
}

func (f *folder) note(path string) error {
	fd, err := unix.Open(path, openDir, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	now, err := look(fd)
	*f = now.folder
	return err
}

type seen struct {
	folder
	size int64
}

func look(fd int) (seen, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return seen{}, err
	}
	var buf [1024]byte
	n, err := unix.Flistxattr(fd, buf[:])
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return seen{}, err
	}
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		flags = 0
	}
	return seen{folder: folder{node: nodeOf(&st), attrs: string(buf[:max(n, 0)]), flags: flags}, size: st.Size}, nil
}

// open opens a folder of the room if it is still the one that was made.
func (f *folder) open(path string) (int, error) {
	fd, err := unix.Open(path, openDir, 0)
	if err != nil {
		return -1, err
	}
	now, err := look(fd)
	now.changed = f.changed
	if err == nil && (now.folder != *f || now.size > maxFolderBytes) {
		err = errChanged
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// clockGrain is more than how coarsely a file system keeps times.
const clockGrain = 50 * time.Millisecond

// errChanged says that a call changed what it cannot be trusted to have left whole.
var errChanged = errors.New("the workspace's folders were changed")
