package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// identity identifies a process, and not a later one with the same id.
type identity struct {
	PID int `json:"pid"`
	// Start is the clock tick since boot at which it started.
	Start uint64 `json:"start"`
	// Boot identifies the boot of the machine.
	Boot string `json:"boot"`
}

// identify returns the identity of a process. It is an error if there is no such process or it is a zombie.
func identify(pid int) (identity, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, err
	}
	// The fields from the third on are after the last bracket, because the process's name may contain brackets.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, start = 0, 19
	if len(fields) <= start {
		return identity{}, fmt.Errorf("process %d: cannot read %q", pid, stat)
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return identity{}, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return identity{PID: pid, Start: ticks, Boot: strings.TrimSpace(string(boot))}, nil
}

func (id identity) alive() bool {
	now, err := identify(id.PID)
	return err == nil && now == id
}

// kill kills the process and waits until it has ended.
func (id identity) kill(ctx context.Context) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Check again, because the descriptor may be of a later process with the id.
	if !id.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	const certain = 30 * time.Second
	gone, err := wait(ctx, fd, certain)
	if err == nil && !gone {
		err = fmt.Errorf("process %d runs %v after it was killed", id.PID, certain)
	}
	return err
}

// wait reports whether the process ended within the time.
func wait(ctx context.Context, fd int, atMost time.Duration) (bool, error) {
	const slice = 100 * time.Millisecond
	for deadline := time.Now().Add(atMost); time.Now().Before(deadline); {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(slice/time.Millisecond)) //nolint:gosec // a descriptor is small
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}
