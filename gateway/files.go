package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"davit/gateway/local"
	"davit/internal/archive"
)

// files are the folders of this gateway and its admin token.
type files struct {
	runDir string // of uploads on their way, and of local runners
	token  token
}

// prepareFiles makes the data folder, the run folder and, at the first start, the admin token.
func prepareFiles(cfg *Config) (*files, error) {
	if err := makeDataDir(cfg.DataDir); err != nil {
		return nil, err
	}
	t, err := adminToken(cfg)
	if err != nil {
		return nil, err
	}
	runDir, err := makeRunDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	return &files{runDir: runDir, token: t}, nil
}

// makeDataDir makes the data folder. Others may pass through it, to the runners' folders below, and see nothing of it;
// what is private has folders of its own.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make %s (set DAVIT_DATA_DIR to choose another folder): %w", dir, err)
	}
	return nil
}

// makeRunDir makes the folder of what is on its way, and of local runners, who pass through it.
func makeRunDir(dataDir string) (string, error) {
	dir, err := local.ChooseDir(dataDir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	return dir, nil
}

// token is the admin token, and the file that holds it for programs on this machine.
type token struct {
	value string
	file  string
}

// adminToken takes the token from the settings, or from the data folder, where the first start makes one.
func adminToken(cfg *Config) (token, error) {
	t := token{value: cfg.Token, file: filepath.Join(cfg.DataDir, "token")}
	if t.value == "" {
		b, err := os.ReadFile(t.file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return t, fmt.Errorf("read the admin token: %w", err)
		}
		t.value = strings.TrimSpace(string(b))
	}
	if t.value == "" {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		t.value = hex.EncodeToString(b[:])
	}
	if err := os.WriteFile(t.file, []byte(t.value+"\n"), 0o600); err != nil { //nolint:gosec // in the operator's folder
		return t, fmt.Errorf("write the admin token: %w", err)
	}
	return t, nil
}

// findRunner returns the davit-runner program: the one that is set, else beside this program, else in PATH.
func findRunner(cfg *Config) (string, error) {
	const name = "davit-runner"
	if cfg.RunnerBinary != "" {
		return cfg.RunnerBinary, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's folder: %w", err)
	}
	beside := filepath.Join(filepath.Dir(self), name)
	if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
		return beside, nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside the gateway nor in PATH (set DAVIT_RUNNER_BINARY): %w", name, err)
	}
	return found, nil
}

// archiveLimits are the limits of uploaded sources.
func archiveLimits(cfg *Config) archive.Limits {
	return archive.Limits{
		PackedBytes: int64(cfg.MaxArchive), UnpackedBytes: int64(cfg.MaxArchiveUnpacked), Entries: cfg.MaxArchiveEntries,
	}
}
