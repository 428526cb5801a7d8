package workspace

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// errChanged says that a call changed what it cannot be trusted to have left whole.
var errChanged = errors.New("the workspace's folders were changed")

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

// untouched reports whether the call cannot have changed anything in a folder: its time
// of change is as it was noted, and so long before the call that even a coarse clock
// would show a change. This spares most calls the looking.
func (r *Room) untouched(index int) bool {
	var st unix.Stat_t
	f := &r.folders[index]
	if r.usedAt.IsZero() || unix.Lstat(r.paths()[index], &st) != nil || nodeOf(&st) != f.node || st.Ctim != f.changed {
		return false
	}
	return time.Unix(st.Ctim.Unix()).Before(r.usedAt.Add(-clockGrain))
}

// noteTimes notes the folders' times of change, for untouched.
func (r *Room) noteTimes() {
	for i, dir := range r.paths() {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) == nil {
			r.folders[i].changed = st.Ctim
		}
	}
}

// restore removes what a call left. Its error means that the room is to be made again.
func (r *Room) restore() (changed bool, err error) {
	nothing := func(string) bool { return false }
	for i, clean := range [4]func(fd int) error{
		func(fd int) error { return sweep(fd, isEntry) },
		r.restoreWork,
		func(fd int) error { return sweep(fd, nothing) },
		func(fd int) error { return sweep(fd, nothing) },
	} {
		if r.untouched(i) {
			continue
		}
		changed = true
		if err := r.restoreFolder(i, clean); err != nil {
			return changed, err
		}
	}
	return changed, r.checkRequest()
}

// isEntry reports whether a room has an entry of that name.
func isEntry(name string) bool {
	return name == workName || name == homeName || name == tempName || name == requestName
}

func (r *Room) restoreFolder(index int, clean func(fd int) error) error {
	fd, err := r.folders[index].open(r.paths()[index])
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return clean(fd)
}

// restoreWork removes what the call left and puts missing links back.
func (r *Room) restoreWork(fd int) error {
	for removed := 1; removed > 0; {
		kept := 0
		var err error
		removed, err = sweepOnce(fd, func(name string) bool {
			if !r.linked(fd, name) {
				return false
			}
			kept++
			return true
		})
		if err != nil || removed == 0 && kept == len(r.source.links) {
			return err
		}
	}
	for name, target := range r.source.links {
		if err := unix.Symlinkat(target, fd, name); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("link source: %w", err)
		}
	}
	return nil
}

// linked reports whether name is the link to the source that it should be.
func (r *Room) linked(fd int, name string) bool {
	target, is := r.source.links[name]
	if !is {
		return false
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, name, buf[:])
	return err == nil && string(buf[:n]) == target
}

func (r *Room) checkRequest() error {
	var st unix.Stat_t
	if err := unix.Lstat(r.Request(), &st); err != nil {
		return err
	}
	if nodeOf(&st) != r.requestNode || st.Nlink != 1 {
		return errChanged
	}
	r.requestSize = st.Size
	return nil
}

// sweep removes everything in a folder that is not to be kept, in passes until one
// finds nothing more.
func sweep(fd int, keep func(name string) bool) error {
	for {
		removed, err := sweepOnce(fd, keep)
		if err != nil || removed == 0 {
			return err
		}
	}
}

func sweepOnce(fd int, keep func(name string) bool) (removed int, err error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return 0, err
	}
	var buf [8 << 10]byte
	var names []string
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return removed, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			if keep(name) {
				continue
			}
			if err := removeAt(fd, name); err != nil {
				return removed, err
			}
			removed++
		}
	}
}
