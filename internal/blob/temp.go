package blob

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync/atomic"
	"syscall"
)

const (
	tempRoot = "tmp"
	lockName = "lock"
)

// tempDir is the folder of one open Folder for files that are being written, on the file system of the objects. While
// it is open, the process has a lock on a file in it. The kernel releases the lock however the process ends, so other
// processes can tell a folder in use from an abandoned one.
type tempDir struct {
	root *os.Root
	at   dirAt
	name string
	lock *os.File
	next atomic.Uint64
}

// openTempDir removes the folders of dead processes and makes a new one.
func openTempDir(root *os.Root, at dirAt) (*tempDir, error) {
	if err := root.Mkdir(tempRoot, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	// One process at a time: between making and locking, a folder would look abandoned.
	opening, err := lockFile(root, path.Join(tempRoot, lockName), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opening.Close() }()
	if err := sweep(root); err != nil {
		return nil, err
	}
	name := path.Join(tempRoot, rand.Text())
	if err := root.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(root, path.Join(name, lockName), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, root.RemoveAll(name))
	}
	return &tempDir{root: root, at: at, name: name, lock: lock}, nil
}

// sweep removes every temp folder whose lock is free.
func sweep(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), tempRoot)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		name := path.Join(tempRoot, entry.Name())
		lock, err := lockFile(root, path.Join(name, lockName), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(root.RemoveAll(name), lock.Close()); err != nil {
			return err
		}
	}
	return nil
}

// lockFile opens a file and locks it. Closing the file unlocks it.
func lockFile(root *os.Root, name string, how int) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, file.Close())
		}
	}
}

func (d *tempDir) close() error { return errors.Join(d.root.RemoveAll(d.name), d.lock.Close()) }

// create makes an empty file. The caller renames or discards it.
func (d *tempDir) create() (*tempFile, error) {
	name := path.Join(d.name, strconv.FormatUint(d.next.Add(1), 36))
	file, err := d.at.create(name)
	if err != nil {
		return nil, err
	}
	return &tempFile{at: d.at, name: name, file: file}, nil
}

// tempFile is one file being written.
type tempFile struct {
	at      dirAt
	name    string
	file    *os.File
	renamed bool
}

// discard closes the file and removes it unless it was renamed.
func (t *tempFile) discard() error {
	err := t.file.Close()
	if t.renamed {
		return err
	}
	if removeErr := t.at.remove(t.name); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}
