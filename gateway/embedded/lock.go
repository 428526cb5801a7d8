package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const lockName = "lock"

// lockFolder creates the folder and locks it for this process. The operating system releases the lock when the file is
// closed or the process ends, even if the process is killed.
func lockFolder(dir string) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("no folder is given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs its x
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func lockFile(file *os.File) error {
	dir := filepath.Dir(file.Name())
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := io.ReadAll(io.LimitReader(file, 32)) // only for the error text
		return fmt.Errorf("the folder %s is open in another gateway (process %s): stop that one, or give this one"+
			" another data folder", dir, strings.TrimSpace(string(pid)))
	}
	if err != nil {
		return fmt.Errorf("lock the folder %s: %w", dir, err)
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}
