package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Source is a function's source, a read-only folder. Each workspace has a link to each of its entries.
type Source struct {
	dir   string
	links map[string]string // entry → its absolute path, the target of its link
}

// OpenSource reads the entries of dir; "" is a source without entries.
func OpenSource(dir string) (*Source, error) {
	s := &Source{links: map[string]string{}}
	if dir == "" {
		return s, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open source %s: %w", dir, err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	s.dir = abs
	for _, e := range entries {
		s.links[e.Name()] = filepath.Join(abs, e.Name())
	}
	return s, nil
}

// Has reports whether the source has an entry of that name.
func (s *Source) Has(name string) bool {
	_, has := s.links[name]
	return has
}

// begins returns the entries that patterns begin with.
func (s *Source) begins(patterns []string) []string {
	var names []string
	for _, p := range patterns {
		first, _, _ := strings.Cut(strings.TrimPrefix(p, "./"), "/")
		if s.Has(first) {
			names = append(names, first)
		}
	}
	return names
}

// copyTree copies an entry of the source so that the command can write the copy. Links are copied as links; entries
// that are neither file, folder nor link are left out.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyEntry(path, filepath.Join(to, rel), d.Type())
	})
}

// copyEntry copies a folder without its entries, a link or a file. It needs no protection against concurrent changes,
// because the source is read-only and the command does not run yet.
func copyEntry(from, to string, kind fs.FileMode) error {
	switch {
	case kind.IsDir():
		return os.Mkdir(to, 0o700)
	case kind.IsRegular():
		return copyFile(from, to)
	case kind&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	return nil
}

// copyFile copies one file. The copy shares the file's blocks where the file system can do that.
func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		return nil
	}
	_, err = io.Copy(dst, src)
	return err
}
