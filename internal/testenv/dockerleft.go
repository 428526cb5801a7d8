package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dockerPrefix and the test's process id begin the name of a DockerServer's folder.
const dockerPrefix = "davit-docker-"

// removeDeadDockers removes everything that the dockerds of killed tests have left.
func removeDeadDockers(t testing.TB) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dockerDirs, dockerPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dockerPrefix), "-")
		pid, err := strconv.Atoi(text)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := removeDocker(dir); err != nil {
			t.Errorf("remove the dockerd of a killed test: %v", err)
		}
	}
}

// removeDocker ends the processes of a dockerd and removes its mounts, cgroups and files.
func removeDocker(dir string) error {
	if err := endProcessesOf(dir); err != nil {
		return err
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	return errors.Join(removeCgroups(filepath.Base(dir)), os.RemoveAll(dir))
}

// endProcessesOf kills, one by one, the processes that have the folder in their command line (dockerd, containerd, its
// shims) and those in its cgroups (the containers).
func endProcessesOf(dir string) error {
	deadline := time.Now().Add(stopWithin)
	for {
		pids, err := processesOf(dir)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of %s do not end", pids, dir)
		}
		<-time.After(pollEvery)
	}
}

func processesOf(dir string) ([]int, error) {
	var pids []int
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(line), dir+"/") { // it has ended, or belongs to another dockerd
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	for _, cgroup := range cgroupsOf(filepath.Base(dir)) {
		text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
		if err != nil {
			continue // it has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// cgroupsOf lists a DockerServer's cgroups, parents first: of one tree, or of one tree per controller.
func cgroupsOf(id string) []string {
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id} {
		tops, _ := filepath.Glob(pattern) // the pattern is valid
		for _, top := range tops {
			_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					all = append(all, path)
				}
				return nil // it is removed already
			})
		}
	}
	return all
}

func removeCgroups(id string) error {
	all := cgroupsOf(id)
	slices.Reverse(all)
	for _, path := range all {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unmountBelow unmounts everything at or below dir, the innermost first.
func unmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points)
	for _, point := range points {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return lines.Err()
}
