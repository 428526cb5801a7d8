package blob

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"
)

const (
	copyBytes      = 128 << 10
	minSecretBytes = 16
	nameTries      = 100
)

// FolderOptions configure a Folder.
type FolderOptions struct {
	// Secret is the key of the URLs' signatures: at least 16 random bytes, the same in every process that serves the
	// folder.
	Secret []byte
	// RunnerBase and PublicBase return the URLs at which RunnerHandler and PublicHandler are served, such as
	// "http://127.0.0.1:8082/objects". They are called at each signing, because the port may be unknown when the folder
	// is opened. nil: such URLs cannot be signed.
	RunnerBase, PublicBase func() string
	// Now is the clock by which signed URLs expire; nil means time.Now.
	Now func() time.Time
	// Log gets the cause of every 5xx answer of the handlers; nil means none is logged.
	Log *slog.Logger
}

// Folder is a Store in a folder of this machine. It also signs URLs and serves them. Any number of Folders, in this
// process and in others, may be open on one folder.
//
// An object survives a loss of power once Put has returned, because Put syncs the file and its folders. Under
// "invocations/" Put syncs the file only: a loss of power may lose an object of the last seconds, as it may lose the
// invocation's record, but leaves none damaged. An upload by a signed URL is not synced: a loss of power may lose the
// uploads of the last half minute, and an object that it damages reads as not found.
type Folder struct {
	root    *os.Root
	at      dirAt
	temp    *tempDir
	o       FolderOptions
	buffers sync.Pool // of *[]byte
	macs    sync.Pool // of hash.Hash, keyed with the secret
}

var (
	_ Store  = (*Folder)(nil)
	_ Signer = (*Folder)(nil)
)

// NewFolder opens the folder, makes it if it does not exist, closes it to other users (mode 0700), and removes the
// unfinished files of processes that were killed.
func NewFolder(dir string, o FolderOptions) (*Folder, error) {
	if len(o.Secret) < minSecretBytes {
		return nil, fmt.Errorf("open store %q: the secret has %d bytes, it needs %d", dir, len(o.Secret), minSecretBytes)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Folder{o: o}
	f.buffers.New = func() any { b := make([]byte, copyBytes); return &b }
	f.macs.New = func() any { return hmac.New(sha256.New, o.Secret) }
	if err := f.open(dir); err != nil {
		return nil, fmt.Errorf("open store %q: %w", dir, err)
	}
	return f, nil
}

func (f *Folder) open(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs its x
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	if err := root.Mkdir(objectsDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.Join(err, root.Close())
	}
	at, err := openAt(root)
	if err != nil {
		return errors.Join(err, root.Close())
	}
	temp, err := openTempDir(root, at)
	if err != nil {
		return errors.Join(err, at.close(), root.Close())
	}
	f.root, f.at, f.temp = root, at, temp
	return nil
}

// Close closes the folder and removes its temporary files. The Folder must not be in use any more.
func (f *Folder) Close() error { return errors.Join(f.temp.close(), f.at.close(), f.root.Close()) }

// durability is how much of what is put survives a loss of power.
type durability int

const (
	written durability = iota // nothing is certain: the system syncs later
	synced                    // the content is whole if the name survives
	durable                   // content and name survive
)

// Put implements Store.
func (f *Folder) Put(ctx context.Context, key Key, r io.Reader, size int64, o PutOptions) (Info, error) {
	how := durable
	if ofInvocation(key) {
		how = synced
	}
	return f.putAs(ctx, how, key, r, size, o)
}

func (f *Folder) putAs(ctx context.Context, how durability, key Key, r io.Reader, size int64, o PutOptions) (Info, error) {
	info, err := f.put(ctx, how, key, r, size, o)
	if err != nil {
		return Info{}, fmt.Errorf("put object %s: %w", quote(string(key)), err)
	}
	return info, nil
}

func (f *Folder) put(ctx context.Context, how durability, key Key, r io.Reader, size int64, o PutOptions) (Info, error) {
	if err := cmp.Or(key.Validate(), o.check(), ctx.Err()); err != nil {
		return Info{}, err
	}
	if o.IfAbsent { // saves the writing; the link in publish decides
		switch _, err := f.stat(key); {
		case err == nil:
			return Info{}, ErrExists
		case !errors.Is(err, ErrNotFound):
			return Info{}, err
		}
	}
	temp, err := f.temp.create()
	if err != nil {
		return Info{}, unavailable(err)
	}
	defer func() { _ = temp.discard() }() // a file that stays is removed at the next open
	b := newBody(ctx, r, size, o.SHA256)
	defer func() { _ = b.stop() }()
	m, err := f.write(temp.file, b, o.contentType())
	if err == nil && how >= synced {
		err = translate(temp.file.Sync())
	}
	if err != nil {
		return Info{}, err
	}
	written, err := temp.file.Stat()
	if err != nil {
		return Info{}, translate(err)
	}
	if err := f.publish(temp, objectPath(key), o.IfAbsent, how >= durable); err != nil {
		return Info{}, err
	}
	return m.info(key, written.ModTime()), nil
}

// write fills the file with an object.
func (f *Folder) write(file *os.File, b *body, contentType string) (metadata, error) {
	buffer := f.buffers.Get().(*[]byte)
	defer f.buffers.Put(buffer)
	// Not io.CopyBuffer, because it would not use the buffer, and would not say which side failed.
	for {
		n, readErr := b.Read(*buffer)
		if _, err := file.Write((*buffer)[:n]); err != nil {
			return metadata{}, unavailable(err)
		}
		if isEnd(readErr) {
			break
		}
		if readErr != nil {
			return metadata{}, readErr
		}
	}
	m := metadata{size: b.read, contentType: contentType}
	copy(m.sha256[:], b.hash.Sum(nil))
	if _, err := file.Write(m.encode()); err != nil {
		return metadata{}, unavailable(err)
	}
	return m, nil
}

// publish gives a written file its name and, with syncDirs, syncs the folders that changed.
func (f *Folder) publish(temp *tempFile, name string, ifAbsent, syncDirs bool) error {
	changed, err := f.moveTo(temp, name, ifAbsent)
	if err != nil || !syncDirs {
		return err
	}
	for _, dir := range changed {
		if err := f.syncDir(dir); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// moveTo gives the file its name, makes the missing folders above it, and returns the folders that have a new entry.
func (f *Folder) moveTo(temp *tempFile, name string, ifAbsent bool) ([]string, error) {
	changed := []string{path.Dir(name)}
	for range nameTries {
		err := f.renameOrLink(temp, name, ifAbsent)
		if !errors.Is(err, fs.ErrNotExist) {
			return changed, err
		}
		// A folder is missing: it was never made, or a Delete has just removed it because it was empty.
		parents, err := f.makeParents(name)
		if err != nil {
			return nil, err
		}
		changed = append(changed, parents...)
	}
	return nil, fmt.Errorf("%w: the folder of objects is gone, or its folders are removed faster than they are made", ErrUnavailable)
}

// renameOrLink renames the file or, where nothing may be replaced, links it: both are atomic.
func (f *Folder) renameOrLink(temp *tempFile, name string, ifAbsent bool) error {
	if !ifAbsent {
		err := f.at.rename(temp.name, name)
		temp.renamed = err == nil
		return translateName(err)
	}
	err := f.at.link(temp.name, name)
	if found, statErr := f.root.Lstat(name); errors.Is(err, fs.ErrExist) && (statErr != nil || !found.IsDir()) {
		return ErrExists
	}
	return translateName(err)
}

// makeParents makes the missing folders above name, often only the last, and returns the folders in which it made one.
func (f *Folder) makeParents(name string) (changed []string, err error) {
	dir := path.Dir(name)
	if dir == objectsDir {
		return nil, nil // never made here: the caller gives up
	}
	err = f.at.mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if changed, err = f.makeParents(dir); err != nil {
			return changed, err
		}
		err = f.at.mkdir(dir)
	}
	switch {
	case err == nil:
		changed = append(changed, path.Dir(dir))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist): // because of a concurrent Delete or Put; the caller tries again
	default:
		return changed, translateName(err)
	}
	return changed, nil
}

func (f *Folder) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a Delete has removed the object and the folder
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get implements Store.
func (f *Folder) Get(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, Info, error) {
	object, info, err := f.get(ctx, key, offset, length)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get object %s: %w", quote(string(key)), err)
	}
	return object, info, nil
}

func (f *Folder) get(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, Info, error) {
	if err := cmp.Or(key.Validate(), checkRange(offset, length), ctx.Err()); err != nil {
		return nil, Info{}, err
	}
	file, info, err := f.openObject(key)
	if err != nil {
		return nil, Info{}, err
	}
	offset, length = cutRange(offset, length, info.Size)
	return &section{ctx: ctx, r: io.NewSectionReader(file, offset, length), file: file}, info, nil
}

// Stat implements Store.
func (f *Folder) Stat(ctx context.Context, key Key) (Info, error) {
	err := cmp.Or(key.Validate(), ctx.Err())
	var info Info
	if err == nil {
		info, err = f.stat(key)
	}
	if err != nil {
		return Info{}, fmt.Errorf("stat object %s: %w", quote(string(key)), err)
	}
	return info, nil
}

func (f *Folder) stat(key Key) (Info, error) {
	file, info, err := f.openObject(key)
	if err != nil {
		return Info{}, err
	}
	return info, translate(file.Close())
}

// Delete implements Store.
func (f *Folder) Delete(ctx context.Context, key Key) error {
	err := cmp.Or(key.Validate(), ctx.Err())
	if err == nil {
		err = f.remove(objectPath(key))
	}
	if err != nil {
		return fmt.Errorf("delete object %s: %w", quote(string(key)), err)
	}
	return nil
}

// remove removes the file and the folders that are empty without it.
func (f *Folder) remove(name string) error {
	found, err := f.root.Lstat(name)
	if err == nil && found.Mode().IsRegular() {
		err = f.root.Remove(name)
	}
	if err != nil && !absent(err) {
		return translate(err)
	}
	for dir := path.Dir(name); dir != objectsDir; dir = path.Dir(dir) {
		if f.root.Remove(dir) != nil {
			break // not empty, or removed by another Delete
		}
	}
	return nil
}

// Ready implements Store: it makes and removes a file.
func (f *Folder) Ready(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		_, err = f.root.Stat(objectsDir)
	}
	var probe *tempFile
	if err == nil {
		probe, err = f.temp.create()
	}
	if err == nil {
		err = probe.discard()
	}
	if err != nil && ctx.Err() == nil {
		err = unavailable(err)
	}
	if err != nil {
		return fmt.Errorf("check the store: %w", err)
	}
	return nil
}

// openObject opens an object's file at the beginning of the content. The caller closes it.
func (f *Folder) openObject(key Key) (*os.File, Info, error) {
	file, err := f.root.Open(objectPath(key))
	if err != nil {
		return nil, Info{}, translate(err)
	}
	info, err := readInfo(file, key)
	if errors.Is(err, errDamaged) && ofInvocation(key) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err) // damaged by a loss of power
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, file.Close())
	}
	return file, info, nil
}
