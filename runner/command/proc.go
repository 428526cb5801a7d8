package command

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// childList reads which children this process has.
type childList struct {
	fd int // of the first thread's list, kept open; -1: this kernel has none
}

func openChildList() childList {
	pid := os.Getpid()
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return childList{fd: -1}
	}
	return childList{fd: fd}
}

func (l childList) close() error {
	if l.fd < 0 {
		return nil
	}
	return unix.Close(l.fd)
}

// first returns the children of the first thread. It reads into buf. ok is false if the list cannot be read or does not
// fit.
func (l childList) first(buf []byte) (pids []int, ok bool) {
	n, err := unix.Pread(l.fd, buf, 0)
	if l.fd < 0 || err != nil || n == len(buf) {
		return nil, false
	}
	if n == 0 {
		return nil, true
	}
	return parsePids(buf[:n]), true
}

// all returns the children of all threads.
func (l childList) all() []int {
	if l.fd < 0 {
		return childrenByScan(os.Getpid())
	}
	return childrenOf(os.Getpid())
}

// childrenOf returns the children of a process.
func childrenOf(pid int) []int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err == nil {
			pids = append(pids, parsePids(b)...)
		}
	}
	return pids
}

// childrenByScan finds the children of parent among all processes.
func childrenByScan(parent int) []int {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		if st, ok := readStat(pid); ok && st.parent == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func parsePids(b []byte) []int {
	var pids []int
	for _, word := range bytes.Fields(b) {
		if pid, err := strconv.Atoi(string(word)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat has fields of /proc/PID/stat, see proc_pid_stat(5).
type stat struct {
	state                  byte
	parent, group, session int
	started                uint64 // clock ticks after boot
}

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	return parseStat(string(b))
}

// parseStat reads the fields after the name, because the name may contain any byte.
func parseStat(line string) (s stat, ok bool) {
	words := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(words) < 20 {
		return stat{}, false
	}
	var errs [4]error
	s.state = words[0][0]
	s.parent, errs[0] = strconv.Atoi(words[1])
	s.group, errs[1] = strconv.Atoi(words[2])
	s.session, errs[2] = strconv.Atoi(words[3])
	s.started, errs[3] = strconv.ParseUint(words[19], 10, 64)
	return s, errs == [4]error{}
}

// readEnviron returns a process's environment, or "" if it cannot be read.
func readEnviron(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return ""
	}
	return string(b)
}

// readDir returns a process's working directory, or "" if it cannot be read.
func readDir(pid int) string {
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return ""
	}
	return dir
}
