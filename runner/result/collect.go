// Package result finds the files that a trigger's results name and zips them. It never follows a link, and opens no
// file outside the workspace. It neither stores nor sends the zip. Start at Collect.
//
// Names in a zip are relative paths with "/". Control characters, backslashes and bytes that are not UTF-8 are written
// as %XX; it is an error if two files get the same name. Entries are sorted, and have the files' times and permissions.
package result

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"

	"davit/internal/text"
)

const (
	maxDepth = 256       // of folders that are searched
	maxFiles = 1_000_000 // in one result
)

// File is a regular file of a result.
type File struct {
	Path    string // relative to the workspace
	Size    int64
	ModTime time.Time
	Mode    fs.FileMode
}

// Error says why there is no result.
type Error struct {
	TooLarge bool // false: a file is missing
	Detail   string
}

// Error returns the detail.
func (e *Error) Error() string { return e.Detail }

func missing(format string, args ...any) *Error {
	return &Error{Detail: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) *Error {
	return &Error{TooLarge: true, Detail: fmt.Sprintf(format, args...)}
}

// Collect returns the regular files that match the patterns, sorted and without duplicates. It returns an *Error if a
// pattern matches no file, or if the files have more than most bytes together (0: no limit).
func Collect(root *os.Root, patterns []string, most int64) ([]File, error) {
	s := search{root: root, most: most, found: map[string]bool{}}
	for _, pattern := range patterns {
		if err := s.match(pattern); err != nil {
			return nil, err
		}
	}
	sort.Slice(s.files, func(i, j int) bool { return s.files[i].Path < s.files[j].Path })
	return s.files, nil
}

// search collects the files of all patterns.
type search struct {
	root  *os.Root
	most  int64
	total int64
	files []File
	found map[string]bool
}

// match adds the files that a pattern matches.
func (s *search) match(pattern string) error {
	clean := path.Clean(pattern)
	if !doublestar.ValidatePattern(clean) || !fs.ValidPath(clean) {
		return missing("results: %q is no pattern inside the workspace", pattern)
	}
	base, rest := split(clean)
	info, err := s.lstat(base)
	if err != nil {
		return err
	}
	matched := 0
	switch {
	case info == nil:
	case rest == "":
		matched, err = s.single(clean, info)
	case info.IsDir():
		w := walk{search: s, pattern: clean, levels: levels(rest)}
		err = w.folder(base, 1)
		matched = w.matched
	}
	if err == nil && matched == 0 {
		err = missing("results: no file matches %q%s", pattern, hint(clean, rest, info))
	}
	return err
}

func hint(pattern, rest string, info fs.FileInfo) string {
	switch {
	case info == nil || rest != "":
		return ""
	case info.IsDir():
		return fmt.Sprintf("; it is a folder, write %q for the files in it", pattern+"/**")
	case info.Mode().Type() == fs.ModeSymlink:
		return "; it is a link, and links are not followed"
	}
	return "; it is no regular file"
}

// single adds the file of a pattern without wildcards.
func (s *search) single(name string, info fs.FileInfo) (int, error) {
	if !info.Mode().IsRegular() {
		return 0, nil
	}
	return 1, s.add(name, info)
}

// lstat is os.Lstat, but follows no link anywhere in the path. It returns nil if the path does not exist.
func (s *search) lstat(name string) (fs.FileInfo, error) {
	for end := 0; end < len(name); end++ {
		next := strings.IndexByte(name[end:], '/')
		if next < 0 {
			break
		}
		end += next
		info, err := s.root.Lstat(name[:end])
		if err != nil || !info.IsDir() {
			return nil, ignoreMissing(err)
		}
		s.unlock(name[:end], info, 0o100)
	}
	info, err := s.root.Lstat(name)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	return info, nil
}

func ignoreMissing(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG) {
		return nil
	}
	return missing("results: %v", err)
}

// unlock restores the owner's rights, which the command may have removed.
func (s *search) unlock(name string, info fs.FileInfo, rights fs.FileMode) {
	if info.Mode().Perm()&rights != rights {
		_ = s.root.Chmod(name, info.Mode().Perm()|rights) // opening the file returns the error
	}
}

func (s *search) add(name string, info fs.FileInfo) error {
	if s.found[name] {
		return nil
	}
	s.found[name] = true
	s.total += info.Size()
	if s.most > 0 && s.total > s.most {
		return tooLarge("the result is larger than %d bytes, at %q; name fewer files in results", s.most, name)
	}
	if len(s.files) == maxFiles {
		return tooLarge("the result has more than %d files; name fewer in results", maxFiles)
	}
	s.unlock(name, info, 0o400)
	s.files = append(s.files, File{Path: name, Size: info.Size(), ModTime: info.ModTime(), Mode: info.Mode().Perm()})
	return nil
}

// walk searches the folders below a pattern's base.
type walk struct {
	*search
	pattern string
	levels  int // folders below the base that can match; -1: any number
	matched int
}

func (w *walk) folder(name string, depth int) error {
	if depth > maxDepth {
		return tooLarge("results: folders are nested deeper than %d, below %q; name fewer in results", maxDepth, clip(name))
	}
	entries, err := w.read(name)
	if err != nil {
		return missing("results: read folder %q: %v", clip(name), err)
	}
	for _, e := range entries {
		if err := w.entry(path.Join(name, e.Name()), e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(name string, e fs.DirEntry, depth int) error {
	switch {
	case e.IsDir():
		if w.levels >= 0 && depth >= w.levels {
			return nil
		}
		return w.folder(name, depth+1)
	case e.Type() != 0 || !doublestar.MatchUnvalidated(w.pattern, name):
		return nil
	}
	info, err := e.Info()
	if err != nil || !info.Mode().IsRegular() {
		return ignoreMissing(err)
	}
	w.matched++
	return w.add(name, info)
}

func (w *walk) read(name string) ([]fs.DirEntry, error) {
	if info, err := w.root.Lstat(name); err == nil && info.IsDir() {
		w.unlock(name, info, 0o500)
	}
	folder, err := w.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	return folder.ReadDir(-1)
}

// split cuts a pattern into its leading path without wildcards and the rest. The rest is "" if the pattern has no
// wildcard.
func split(pattern string) (base, rest string) {
	base, rest = ".", pattern
	for rest != "" {
		first, after, more := strings.Cut(rest, "/")
		if strings.ContainsAny(first, `*?[{\`) {
			return base, rest
		}
		base, rest = path.Join(base, first), after
		if !more {
			break
		}
	}
	return base, ""
}

// levels returns how many names a path has that a pattern's rest matches; -1: any number.
func levels(rest string) int {
	if strings.Contains(rest, "**") || strings.Contains(rest, "{") {
		return -1
	}
	return strings.Count(rest, "/") + 1
}

func clip(s string) string { return text.Clip(s, 200) }
