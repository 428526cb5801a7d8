package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"davit/e2e/cluster/process"
)

// KillPods kills every process of every pod and returns when they have ended. The kubelet must have ended before, so
// that no new ones start.
func KillPods(ctx context.Context) error {
	for {
		pids, err := podProcesses()
		if err != nil {
			return fmt.Errorf("find the pods' processes: %w", err)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := process.Kill(ctx, pid); err != nil {
				return fmt.Errorf("kill a pod's process: %w", err)
			}
		}
	}
}

// podGroups returns the control groups that the kubelet makes: one in each hierarchy.
func podGroups() ([]string, error) {
	return globs("/sys/fs/cgroup/kubepods", "/sys/fs/cgroup/*/kubepods")
}

func globs(patterns ...string) ([]string, error) {
	var found []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		found = append(found, paths...)
	}
	return found, nil
}

func podProcesses() ([]int, error) {
	groups, err := podGroups()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, group := range groups {
		for _, dir := range foldersBelow(group) {
			// A group that was removed meanwhile has no processes.
			text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids, nil
}

// foldersBelow lists the folder and all folders below it, parents first.
func foldersBelow(root string) []string {
	dirs := []string{root}
	entries, _ := os.ReadDir(root)
	for _, entry := range entries {
		if entry.IsDir() {
			dirs = append(dirs, foldersBelow(filepath.Join(root, entry.Name()))...)
		}
	}
	return dirs
}

// Clean removes everything that Prepare has made and that the cluster's programs have left (mounts, the network with
// its rules, control groups, files), and restores the kernel's settings. All processes must have ended. It does nothing
// if there is nothing to remove.
func Clean(ctx context.Context, layout Layout) error {
	err := errors.Join(
		step("unmount", unmountBelow(layout.State, layout.Run)),
		step("remove the bridge", removeBridge(ctx)),
		step("remove the packet filter's rules", removeRules(ctx)),
		step("remove the control groups", removeGroups(ctx)),
		step("put the kernel's settings back", restoreKernel(layout)),
	)
	if err != nil {
		// Keep the folders, because the next attempt needs the files in them.
		return err
	}
	return step("remove the folders", removeFiles(layout))
}

func step(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func unmountBelow(dirs ...string) error {
	points, err := mountsBelow(dirs)
	if err != nil {
		return err
	}
	// In the reverse order of the mounts.
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("%s: %w", point, err)
		}
	}
	points, err = mountsBelow(dirs)
	if err == nil && len(points) > 0 {
		// An error, because removing the folders would remove the files of the mounted file systems.
		err = fmt.Errorf("%d are still mounted, such as %s", len(points), points[0])
	}
	return err
}

func mountsBelow(dirs []string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(text)) {
		const mountPoint = 4
		fields := strings.Fields(line)
		if len(fields) <= mountPoint {
			continue
		}
		point := unescape.Replace(fields[mountPoint])
		if slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(point, dir+"/") }) {
			points = append(points, point)
		}
	}
	return points, nil
}

func removeBridge(ctx context.Context) error {
	ports, err := filepath.Glob("/sys/class/net/" + Bridge + "/brif/*")
	if err != nil {
		return err
	}
	for _, port := range ports {
		// It may fail, because the kernel removes the port with the network namespace of its other end.
		_ = exec.CommandContext(ctx, "ip", "link", "delete", filepath.Base(port)).Run()
	}
	if _, err := os.Stat("/sys/class/net/" + Bridge); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// Forget connections of addresses that the next cluster's pods will have. It fails if there are none.
	for _, side := range []string{"--src", "--dst", "--reply-src"} {
		_ = exec.CommandContext(ctx, "conntrack", "--delete", side, PodRange).Run()
	}
	return run(exec.CommandContext(ctx, "ip", "link", "delete", Bridge))
}

func removeGroups(ctx context.Context) error {
	groups, err := podGroups()
	if err != nil {
		return err
	}
	const atMost = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for _, group := range groups {
		for _, dir := range slices.Backward(foldersBelow(group)) {
			if err := removeGroup(ctx, dir); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
	}
	return nil
}

// removeGroup tries until the kernel has released the processes that have ended.
func removeGroup(ctx context.Context, dir string) error {
	const pause = 20 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// removeFiles removes the cluster's folders, and the files of Kubernetes and the network plugins at fixed paths.
func removeFiles(layout Layout) error {
	results, err := globs("/var/lib/cni/results/davit-*", "/var/lib/cni/results/cni-loopback-*")
	if err != nil {
		return err
	}
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, layout.State+"/") {
			results = append(results, link)
		}
	}
	var failed []error
	for _, path := range append(results, layout.Run, layout.State) {
		failed = append(failed, os.RemoveAll(path))
	}
	// The kubelet makes this folder whatever its own folder is. Another kubelet would have more files here.
	if entries, err := os.ReadDir("/var/lib/kubelet"); err == nil && len(entries) == 1 && entries[0].Name() == "device-plugins" {
		failed = append(failed, os.RemoveAll("/var/lib/kubelet/device-plugins"))
	}
	// Only if they are empty now.
	for _, dir := range []string{"/var/lib/kubelet", "/var/lib/cni/results", "/var/lib/cni", "/var/log/containers"} {
		_ = os.Remove(dir)
	}
	return errors.Join(failed...)
}
