package workspace

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// untouched reports whether the call cannot have changed anything in a folder. It is sure if the folder's time of
// change is the recorded one and so long before the call that even a coarse clock would show a change. Then Clean need
// not read the folder.
func (r *Workspace) untouched(index int) bool {
	var st unix.Stat_t
	f := &r.folders[index]
	if r.usedAt.IsZero() || unix.Lstat(r.paths()[index], &st) != nil || nodeOf(&st) != f.node || st.Ctim != f.changed {
		return false
	}
	return time.Unix(st.Ctim.Unix()).Before(r.usedAt.Add(-clockGranularity))
}

// recordTimes records the folders' times of change, for untouched.
func (r *Workspace) recordTimes() {
	for i, dir := range r.paths() {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) == nil {
			r.folders[i].changed = st.Ctim
		}
	}
}

// restore removes what a call left. After an error the caller makes the workspace again.
func (r *Workspace) restore() (changed bool, err error) {
	none := func(string) bool { return false }
	for i, clean := range [4]func(fd int) error{
		func(fd int) error { return sweep(fd, isEntry) },
		r.restoreWork,
		func(fd int) error { return sweep(fd, none) },
		func(fd int) error { return sweep(fd, none) },
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

// isEntry reports whether a workspace has an entry of that name.
func isEntry(name string) bool {
	return name == workName || name == homeName || name == tempName || name == requestName
}

func (r *Workspace) restoreFolder(index int, clean func(fd int) error) error {
	fd, err := r.folders[index].open(r.paths()[index])
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return clean(fd)
}

// restoreWork removes what the call left and makes missing links again.
func (r *Workspace) restoreWork(fd int) error {
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

// linked reports whether name is a link of the workspace and leads to the source's entry.
func (r *Workspace) linked(fd int, name string) bool {
	target, is := r.source.links[name]
	if !is {
		return false
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, name, buf[:])
	return err == nil && string(buf[:n]) == target
}

func (r *Workspace) checkRequest() error {
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

// sweep removes the entries of a folder except those for which keep returns true. It repeats until it finds none.
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
