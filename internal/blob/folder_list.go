package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
)

// List implements Store. It reads only folders that can contain such keys, one at a time. It opens no file, so ETag
// stays empty.
func (f *Folder) List(ctx context.Context, prefix string, after Key) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		err := validatePrefix(prefix)
		if err == nil && after != "" {
			err = after.Validate()
		}
		if err == nil {
			l := listing{folder: f, ctx: ctx, prefix: prefix, after: string(after), yield: yield}
			err = l.walk(prefix[:strings.LastIndexByte(prefix, '/')+1])
		}
		if err != nil && !errors.Is(err, errBreak) {
			yield(Info{}, fmt.Errorf("list objects %s: %w", quote(prefix), err))
		}
	}
}

// errBreak ends a walk when the loop over the list has ended.
var errBreak = errors.New("the loop has ended")

// listing is one walk.
type listing struct {
	folder *Folder
	ctx    context.Context
	prefix string
	after  string
	yield  func(Info, error) bool
}

// walk lists what is below a folder: "" or a path that ends in a slash.
func (l *listing) walk(dir string) error {
	entries, err := l.read(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if entry.isDir {
			err = l.walk(entry.name)
		} else {
			err = l.yieldFile(entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry is a file or a folder. A folder's name ends in a slash, so that entries sort as the keys below them.
type entry struct {
	name  string
	isDir bool
	file  fs.DirEntry
}

// read returns in order the entries of a folder that match or can contain a match. A folder that does not exist has
// none.
func (l *listing) read(dir string) ([]entry, error) {
	found, err := fs.ReadDir(l.folder.root.FS(), strings.TrimSuffix(objectsDir+"/"+dir, "/"))
	if err != nil && !absent(err) {
		return nil, translate(err)
	}
	entries := make([]entry, 0, len(found))
	for _, file := range found {
		e := entry{name: dir + file.Name(), isDir: file.IsDir(), file: file}
		if e.isDir {
			e.name += "/"
		}
		if l.matches(e) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

func (l *listing) matches(e entry) bool {
	if !e.isDir {
		return strings.HasPrefix(e.name, l.prefix) && e.name > l.after
	}
	// Every key below begins with the folder's name.
	under := strings.HasPrefix(e.name, l.prefix) || strings.HasPrefix(l.prefix, e.name)
	return under && (e.name > l.after || strings.HasPrefix(l.after, e.name))
}

func (l *listing) yieldFile(e entry) error {
	stat, err := e.file.Info()
	if absent(err) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return translate(err)
	}
	if !stat.Mode().IsRegular() {
		return nil
	}
	info := Info{Key: Key(e.name), Size: max(0, stat.Size()-trailerBytes), ModifiedAt: stat.ModTime().UTC()}
	if !l.yield(info, nil) {
		return errBreak
	}
	return nil
}
