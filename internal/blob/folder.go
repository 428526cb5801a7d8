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

// FolderOptions are what a Folder needs besides its folder.
type FolderOptions struct {
	// Secret signs URLs: at least 16 random bytes, the same for every process that serves the folder.
	Secret []byte
	// RunnerBase and PublicBase give the URLs under which RunnerHandler and PublicHandler are reached, such
	// as "http://127.0.0.1:8082/objects". They are asked at each signing, since a port may be known late.
	RunnerBase, PublicBase func() string
	// Now is the clock that signed URLs expire by; nil means time.Now.
	Now func() time.Time
	// Log gets the causes of answers 5xx of the handlers; nil means nowhere.
	Log *slog.Logger
}

// Folder is a Store on a folder of this machine, and the Signer and server of its own URLs. Any number of
// Folders, in this process or others, may be open on one folder.
//
// A Put is durable when it returns, a loss of power included: file and folders are synced. Only for keys
// under "invocations/" the folders are not: there a loss of power may lose an object of the last seconds,
// as it does the invocation's record, but never tears one. What is uploaded by a signed URL is left to the
// system to sync: a loss of power may lose what came in the last half minute; what it tore is as lost.
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

// NewFolder opens the folder, makes it if need be, closes it to other users (0700), and removes what
// processes that were killed left half written.
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

// Close lets go of the folder. It must not be in use any more.
func (f *Folder) Close() error { return errors.Join(f.temp.close(), f.at.close(), f.root.Close()) }

// durability is how much of what is put survives a loss of power.
type durability int

const (
	written durability = iota // what the system has synced by itself
	synced                    // the file, if its name is there
	durable                   // file and name
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
	if o.IfAbsent { // the link below decides; this only spares the writing
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
	defer func() { _ = temp.discard() }() // what stays is removed at the next open
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
	// Plain writers and readers, so that the buffer is used and the body is told from the disk.
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

// publish gives a written file its name, and makes that last if it is to.
func (f *Folder) publish(temp *tempFile, name string, ifAbsent, lasting bool) error {
	changed, err := f.giveName(temp, name, ifAbsent)
	if err != nil || !lasting {
		return err
	}
	for _, dir := range changed {
		if err := f.syncDir(dir); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// giveName makes the folders above name if need be and returns those that have got a new entry.
func (f *Folder) giveName(temp *tempFile, name string, ifAbsent bool) ([]string, error) {
	changed := []string{path.Dir(name)}
	for range nameTries {
		err := f.give(temp, name, ifAbsent)
		if !errors.Is(err, fs.ErrNotExist) {
			return changed, err
		}
		// A folder is missing: not made yet, or a Delete has just removed it as empty.
		parents, err := f.makeParents(name)
		if err != nil {
			return nil, err
		}
		changed = append(changed, parents...)
	}
	return nil, fmt.Errorf("%w: the folder of objects is gone, or folders go faster than they are made", ErrUnavailable)
}

// give is one rename, or one link where nothing may be replaced: either is atomic.
func (f *Folder) give(temp *tempFile, name string, ifAbsent bool) error {
	if !ifAbsent {
		err := f.at.rename(temp.name, name)
		temp.given = err == nil
		return translateName(err)
	}
	err := f.at.link(temp.name, name)
	if found, statErr := f.root.Lstat(name); errors.Is(err, fs.ErrExist) && (statErr != nil || !found.IsDir()) {
		return ErrExists
	}
	return translateName(err)
}

// makeParents makes the folders above name, of which often only the last is missing, and returns those in
// which it made one.
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
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist): // a Delete or a Put was here meanwhile: the caller tries again
	default:
		return changed, translateName(err)
	}
	return changed, nil
}

func (f *Folder) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a Delete took the object and the folder with it
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
			break // not empty, or gone
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

// openObject opens an object's file, positioned at the content. The caller closes it.
func (f *Folder) openObject(key Key) (*os.File, Info, error) {
	file, err := f.root.Open(objectPath(key))
	if err != nil {
		return nil, Info{}, translate(err)
	}
	info, err := readInfo(file, key)
	if errors.Is(err, errDamaged) && ofInvocation(key) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err) // torn by a loss of power
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, file.Close())
	}
	return file, info, nil
}
