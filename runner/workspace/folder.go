package workspace

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// maxFolderBytes is how large a folder itself may grow before it is made again, because it never shrinks and a large
// folder is slow.
const maxFolderBytes = 64 << 10

// node is the identity, mode and owner of a file or folder.
type node struct {
	dev, ino uint64
	mode     uint32
	uid, gid uint32
}

func nodeOf(st *unix.Stat_t) node {
	return node{dev: st.Dev, ino: st.Ino, mode: st.Mode, uid: st.Uid, gid: st.Gid}
}

// folder is the state of a folder when it was made.
type folder struct {
	node  node
	attrs string // names of its extended attributes
	flags int    // of its inode; 0 where the file system has none

	changed unix.Timespec // time of the last change that was recorded
}

func (f *folder) record(path string) error {
	fd, err := unix.Open(path, openDir, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	now, err := observe(fd)
	*f = now.folder
	return err
}

// observed is the state of a folder now.
type observed struct {
	folder
	size int64
}

func observe(fd int) (observed, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return observed{}, err
	}
	var buf [1024]byte
	n, err := unix.Flistxattr(fd, buf[:])
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return observed{}, err
	}
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		flags = 0
	}
	return observed{folder: folder{node: nodeOf(&st), attrs: string(buf[:max(n, 0)]), flags: flags}, size: st.Size}, nil
}

// open opens a folder of the workspace if it is still the folder that was made. Otherwise the error is errChanged.
func (f *folder) open(path string) (int, error) {
	fd, err := unix.Open(path, openDir, 0)
	if err != nil {
		return -1, err
	}
	now, err := observe(fd)
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

// clockGranularity is more than the granularity of a file system's times.
const clockGranularity = 50 * time.Millisecond

// errChanged says that a call changed a folder or file of the workspace itself, so that the workspace must be made
// again.
var errChanged = errors.New("the workspace's folders were changed")
