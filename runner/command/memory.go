package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// oomCounter reads how many processes of this process's cgroup the system has killed for memory.
type oomCounter struct {
	fd int // -1: not readable
}

// openOOMCounter opens the counter of cgroup version 2 or 1. In a container, the cgroup may be at the root of the
// mount.
func openOOMCounter() oomCounter {
	for _, path := range oomPaths() {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if c := (oomCounter{fd: fd}); c.read() >= 0 {
			return c
		}
		_ = unix.Close(fd)
	}
	return oomCounter{fd: -1}
}

func oomPaths() []string {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	var paths []string
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers, group := parts[1], parts[2]
		switch {
		case controllers == "":
			paths = append(paths, filepath.Join("/sys/fs/cgroup", group, "memory.events"), "/sys/fs/cgroup/memory.events")
		case strings.Contains(","+controllers+",", ",memory,"):
			const name = "memory.oom_control"
			paths = append(paths, filepath.Join("/sys/fs/cgroup/memory", group, name), "/sys/fs/cgroup/memory/"+name)
		}
	}
	return paths
}

func (c oomCounter) close() error {
	if c.fd < 0 {
		return nil
	}
	return unix.Close(c.fd)
}

// read returns the counter, or -1 if it cannot be read.
func (c oomCounter) read() int64 {
	if c.fd < 0 {
		return -1
	}
	var buf [512]byte
	n, err := unix.Pread(c.fd, buf[:], 0)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(buf[:n])) {
		if value, is := strings.CutPrefix(line, "oom_kill "); is {
			count, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return -1
			}
			return count
		}
	}
	return -1
}

// usedMemory returns the private memory of a process and its descendants, in bytes.
func usedMemory(pid int) int64 {
	total := residentOf(pid)
	for _, child := range childrenOf(pid) {
		total += usedMemory(child)
	}
	return total
}

// residentOf returns a process's resident memory that is not shared with files.
func residentOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	words := strings.Fields(string(b))
	if len(words) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(words[1], 10, 64)
	shared, err2 := strconv.ParseInt(words[2], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}
