//go:build all

package workspace

import (
	"os"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCommonObjects shows that Clean removes System V objects, in a new IPC namespace. It needs root, because only root
// can make one.
func TestCommonObjects(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("making an IPC namespace needs root: run the tests as root")
	}
	done := make(chan struct{})
	go func() { // its thread, and so the namespace, ends with it
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWIPC); err != nil {
			t.Errorf("make an IPC namespace: %v", err)
			return
		}
		checkObjects(t)
	}()
	<-done
}

func checkObjects(t *testing.T) {
	c := &Common{kinds: ipcKinds()}
	before, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Error(err)
		return
	}
	if err := c.Note(); err != nil {
		t.Error(err)
	}
	if _, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600); err != nil {
		t.Error(err)
	}
	for _, get := range []uintptr{unix.SYS_SEMGET, unix.SYS_MSGGET} {
		args := [3]uintptr{unix.IPC_PRIVATE, 1, unix.IPC_CREAT | 0o600}
		if get == unix.SYS_MSGGET {
			args = [3]uintptr{unix.IPC_PRIVATE, unix.IPC_CREAT | 0o600}
		}
		if _, _, errno := unix.Syscall(get, args[0], args[1], args[2]); errno != 0 {
			t.Error(errno)
		}
	}
	if err := c.Clean(); err != nil {
		t.Error(err)
	}
	left := map[string]int{}
	for _, kind := range c.kinds {
		kind.remove = func(id int) error {
			left[kind.name] += id + 1
			return nil
		}
		if err := eachObject(kind, func(_ string, count func() error) error { return count() }); err != nil {
			t.Error(err)
		}
	}
	if want := map[string]int{"shm": before + 1}; !reflect.DeepEqual(left, want) {
		t.Errorf("left: %v, want %v", left, want)
	}
}
