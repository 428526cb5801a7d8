package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// removeAll removes a folder in which a command, or an archive, may have taken rights away.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		openUp(dir)
		err = os.RemoveAll(dir)
	}
	return err
}

// openUp gives the owner all rights to the folders below dir: a command may have taken them away.
func openUp(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return
	}
	defer root.Close()
	_ = root.Chmod(".", 0o700)
	_ = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
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
