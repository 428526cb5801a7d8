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

// identity is one process, never another that gets its id later.
type identity struct {
	PID int `json:"pid"`
	// Start is the clock tick since boot at which it started.
	Start uint64 `json:"start"`
	// Boot tells this boot of the machine from others.
	Boot string `json:"boot"`
}

// identify fails where there is no such process, or only what is left of one that ended.
func identify(pid int) (identity, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, err
	}
	// The name, in brackets, may hold anything; what follows are the fields from the third on.
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

// kill kills the process and waits until it is gone.
func (id identity) kill(ctx context.Context) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// The descriptor now holds on to whoever has the id; only if that is still the one meant is it signalled.
	if !id.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	const certain = 30 * time.Second
	gone, err := wait(ctx, fd, certain)
	if err == nil && !gone {
		err = fmt.Errorf("process %d is there %v after it was killed", id.PID, certain)
	}
	return err
}

// wait tells whether the process ended within the time.
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
