package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

const (
	passable = 0o711 // others may enter the folder, but not list it
	readable = 0o755
	// binaryPrefix starts the name of a copy of the runner program; its checksum follows.
	binaryPrefix = "davit-runner-"
)

// ChooseDir returns the folder for a Launcher: dataDir/run, or, if this process is root and RunnerUID cannot reach
// dataDir, /var/tmp/davit-<hash of dataDir>. ChooseDir makes the latter, and returns an error if it exists and is not a
// folder owned by root.
func ChooseDir(dataDir string) (string, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", fmt.Errorf("choose a folder for runners: %w", err)
	}
	inside := filepath.Join(dataDir, "run")
	if os.Geteuid() != 0 || reachable(dataDir, RunnerUID) {
		return inside, nil
	}
	sum := sha256.Sum256([]byte(dataDir))
	outside := filepath.Join("/var/tmp", "davit-"+hex.EncodeToString(sum[:8]))
	if err := claimDir(outside); err != nil {
		return "", fmt.Errorf("choose a folder for runners: %w", err)
	}
	return outside, nil
}

// reachable reports whether uid, with only the group of the same number, may enter dir and all folders above it.
func reachable(dir string, uid uint32) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil {
			return false
		}
		bit := uint32(0o001)
		switch uid {
		case st.Uid:
			bit = 0o100
		case st.Gid:
			bit = 0o010
		}
		if st.Mode&bit == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// claimDir makes dir, or checks that an existing dir is a folder owned by root.
func claimDir(dir string) error {
	err := os.Mkdir(dir, passable)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("check %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != 0 {
		return fmt.Errorf("%s is there and is no folder of root's: remove it, or let user %d reach the data folder", dir, RunnerUID)
	}
	return os.Chmod(dir, passable) // because of the umask, and of earlier gateways
}

// makeRoot makes Options.Dir and returns it as an absolute path without links, which is the path in /proc/<pid>/cwd.
func makeRoot(dir string, asRoot bool) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.MkdirAll(dir, passable), os.Chmod(dir, passable)); err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	if asRoot && !reachable(filepath.Dir(dir), RunnerUID) {
		return "", fmt.Errorf("user %d, as whom runners run, cannot reach it: choose another folder", RunnerUID)
	}
	return dir, nil
}

func makeLayout(root string, asRoot bool) (layout, error) {
	made := layout{
		bin: filepath.Join(root, "bin"), sources: filepath.Join(root, "sources"),
		run: filepath.Join(root, "runners", uuid.NewString()),
	}
	if err := removeSourcesOfOtherBoot(root, made.sources); err != nil {
		return made, err
	}
	for _, dir := range []string{made.bin, made.sources, filepath.Dir(made.run), made.run} {
		if err := os.MkdirAll(dir, passable); err != nil {
			return made, err
		}
		if err := os.Chmod(dir, passable); err != nil {
			return made, err
		}
	}
	if !asRoot {
		return made, nil
	}
	return made, errors.Join(os.Chown(made.sources, 0, RunnerUID), os.Chmod(made.sources, groupOnly))
}

// removeSourcesOfOtherBoot removes sources that were unpacked before the machine last started: they were not synced, so
// a loss of power may have emptied them.
func removeSourcesOfOtherBoot(root, sources string) error {
	const name = "boot"
	path, now := filepath.Join(root, name), bootID()
	if b, err := os.ReadFile(path); err == nil && string(b) == now && now != "" {
		return nil
	}
	if err := removeAll(sources); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(now), 0o600)
}

// installBinary copies the runner program into the layout, and returns the path of the copy. If alone is true, no other
// gateway uses the folder, and installBinary removes the other copies and the incomplete sources.
func installBinary(in layout, program string, alone bool) (binary string, err error) {
	src, err := os.Open(program)
	if err != nil {
		return "", fmt.Errorf("open the runner program: %w", err)
	}
	defer src.Close()
	tmp, err := os.CreateTemp(in.bin, "new-")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, sum), src)
	if err = errors.Join(err, tmp.Chmod(readable), tmp.Close()); err != nil {
		return "", fmt.Errorf("copy the runner program: %w", err)
	}
	binary = filepath.Join(in.bin, binaryPrefix+hex.EncodeToString(sum.Sum(nil)[:8]))
	if err := os.Rename(tmp.Name(), binary); err != nil {
		return "", err
	}
	if alone {
		removeStale(in, binary)
	}
	return binary, nil
}

// removeStale removes other copies of the program, and sources whose unpacking was interrupted.
func removeStale(in layout, binary string) {
	entries, _ := os.ReadDir(in.bin)
	for _, e := range entries {
		if path := filepath.Join(in.bin, e.Name()); path != binary {
			_ = os.Remove(path)
		}
	}
	entries, _ = os.ReadDir(in.sources)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			_ = removeAll(filepath.Join(in.sources, e.Name()))
		}
	}
}
