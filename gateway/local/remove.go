package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// removeAll removes a folder, even if a command or an archive has removed the owner's rights to folders in it.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		openUp(dir)
		err = os.RemoveAll(dir)
	}
	return err
}

// openUp gives the owner all rights to dir and the folders below.
func openUp(dir string) {
	parent, name := filepath.Split(filepath.Clean(dir))
	root, err := os.OpenRoot(parent) // because dir itself may not be open to its owner
	if err != nil {
		return
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), name, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = root.Chmod(path, 0o700)
		}
		return nil
	})
}

func (l *Launcher) unlock() {
	for _, f := range l.locks {
		_ = os.RemoveAll(filepath.Dir(f.Name()))
		_ = f.Close()
	}
	l.locks = nil
}
