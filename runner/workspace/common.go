package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Common are the folders outside their workspaces that the commands of a runner can write: its /tmp and shared memory;
// if the runner is the init of a container, also the container's System V objects. It is for one goroutine at a time.
type Common struct {
	dirs  []string
	kinds []ipcKind
	stays map[string]bool // by path, or kind and id: what existed before the call
}

// NewCommon returns a Common of folders that are empty now. Without folders its methods do nothing.
func NewCommon(dirs []string) *Common {
	c := &Common{dirs: dirs}
	if os.Getpid() == 1 && len(dirs) > 0 {
		c.kinds = ipcKinds()
	}
	return c
}

// Note records what exists now, so that Clean keeps it.
func (c *Common) Note() error {
	c.stays = map[string]bool{}
	return c.each(func(name string, _ func() error) error {
		c.stays[name] = true
		return nil
	})
}

// Clean removes everything that is new since the last Note; everything if there was none.
func (c *Common) Clean() error {
	return c.each(func(name string, remove func() error) error {
		if c.stays[name] {
			return nil
		}
		return remove()
	})
}

// each visits every entry of the folders and every System V object.
func (c *Common) each(visit func(name string, remove func() error) error) error {
	var errs []error
	for _, dir := range c.dirs {
		errs = append(errs, eachEntry(dir, visit))
	}
	for _, kind := range c.kinds {
		errs = append(errs, eachObject(kind, visit))
	}
	return errors.Join(errs...)
}

func eachEntry(dir string, visit func(name string, remove func() error) error) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || len(entries) == 0 && err == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean %s: %w", dir, err)
	}
	fd, err := unix.Open(dir, openDir, 0)
	if err != nil {
		return fmt.Errorf("clean %s: %w", dir, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var errs []error
	for _, e := range entries {
		errs = append(errs, visit(filepath.Join(dir, e.Name()), func() error { return removeAt(fd, e.Name()) }))
	}
	return errors.Join(errs...)
}

// ipcKind is a kind of System V objects.
type ipcKind struct {
	name   string
	remove func(id int) error
}

func ipcKinds() []ipcKind {
	return []ipcKind{{"shm", removeShm}, {"sem", removeSem}, {"msg", removeMsg}}
}

// eachObject reads /proc/sysvipc, see proc_sysvipc(5): the second column is the id.
func eachObject(kind ipcKind, visit func(name string, remove func() error) error) error {
	b, err := os.ReadFile(filepath.Join("/proc/sysvipc", kind.name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean System V %s: %w", kind.name, err)
	}
	var errs []error
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		id, err := strconv.Atoi(fields[1])
		if err != nil {
			continue // the header line
		}
		errs = append(errs, visit(kind.name+" "+fields[1], func() error {
			if err := kind.remove(id); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EIDRM) {
				return fmt.Errorf("remove System V %s %d: %w", kind.name, id, err)
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

func removeShm(id int) error {
	_, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return err
}

func removeSem(id int) error {
	return sysErr(unix.Syscall6(unix.SYS_SEMCTL, uintptr(id), 0, unix.IPC_RMID, 0, 0, 0))
}

func removeMsg(id int) error {
	return sysErr(unix.Syscall(unix.SYS_MSGCTL, uintptr(id), unix.IPC_RMID, 0))
}

func sysErr(_, _ uintptr, errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
