package embedded

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const (
	journalName = "journal"
	nextName    = "journal.next" // the new journal during a rewrite; never read at a start

	probeBytes = 64 << 10 // how many free bytes a full disk must have before writes are accepted again
)

// errJournalLost means that the content of the journal on disk is unknown: nothing may be appended any more.
var errJournalLost = errors.New("the journal is closed to writing until the gateway is started again")

// journal is the open file. The caller of its methods holds database.mu.
type journal struct {
	framing

	file     *os.File
	path     string
	size     int64 // the offset up to which the file consists of whole frames
	snapshot int64 // the size of the header and the snapshot, with which the file begins
	lost     error // why nothing may be appended any more; set once
}

// append writes whole frames with one write(2). On an error the file is unchanged, or lost is set.
func (j *journal) append(frames []byte) error {
	if j.lost != nil {
		return j.lost
	}
	if _, err := j.file.Write(frames); err != nil {
		if undo := j.file.Truncate(j.size); undo != nil {
			j.lost = errors.Join(errJournalLost, err, undo)
			return j.lost
		}
		return err
	}
	j.size += int64(len(frames))
	return nil
}

// probe writes a frame that a replay skips, and removes it.
func (j *journal) probe() error {
	size := j.size
	if err := j.append(j.appendFrame(nil, frameNothing, 0, []string{strings.Repeat("-", probeBytes)})); err != nil {
		return err
	}
	j.size = size
	if err := j.file.Truncate(size); err != nil {
		j.lost = errors.Join(errJournalLost, err)
		return j.lost
	}
	return nil
}

// createJournal writes the journal of an empty state.
func createJournal(dir string) error {
	var f framing
	if _, err := rand.Read(f.salt[:]); err != nil {
		return err
	}
	b := f.appendFrame(f.fileHead(), frameSnapshotEnd, 0, nil)
	next := filepath.Join(dir, nextName)
	file, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return replaceJournal(dir)
}

// replaceJournal renames the finished and synced next journal to the journal.
func replaceJournal(dir string) error {
	if err := os.Rename(filepath.Join(dir, nextName), filepath.Join(dir, journalName)); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// openJournal reads the journal of dir into e, frame by frame, and returns it ready for appending. It cuts off a torn
// tail; any other damage is an error with the file's name and the offset.
func openJournal(ctx context.Context, dir string, e *engine, log *slog.Logger) (*journal, error) {
	path := filepath.Join(dir, journalName)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := createJournal(dir); err != nil {
			return nil, fmt.Errorf("create the journal %s: %w", path, err)
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &journal{file: file, path: path}
	if err := j.replay(ctx, e, log); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *journal) replay(ctx context.Context, e *engine, log *slog.Logger) error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	reader, err := j.read(ctx, e)
	if errors.Is(err, errBadFrame) {
		return j.cutTail(info.Size(), log)
	}
	if err != nil {
		return fmt.Errorf("read the journal %s, at byte %d: %w", j.path, j.size, err)
	}
	if !reader.whole {
		return j.damaged()
	}
	return nil
}

// read applies every frame up to the end of the file, or to the first bad one.
func (j *journal) read(ctx context.Context, e *engine) (*replayer, error) {
	r := bufio.NewReaderSize(j.file, 256<<10)
	if err := j.readHead(r); err != nil {
		return nil, err
	}
	p := newReplayer(e)
	var buf bytes.Buffer
	for ctx.Err() == nil {
		f, err := j.framing.read(r, &buf)
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err == nil {
			err = p.apply(f)
		}
		if err != nil {
			return p, err
		}
		j.size += int64(frameHeadBytes + len(f.payload))
		if f.kind == frameSnapshotEnd {
			j.snapshot = j.size
		}
	}
	return p, ctx.Err()
}

func (j *journal) readHead(r io.Reader) error {
	head := make([]byte, fileHeadBytes)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if j.framing, err = parseFileHead(head[:n]); err != nil {
		return err
	}
	j.size = int64(fileHeadBytes)
	return nil
}

// cutTail removes a torn tail. A bad frame in the snapshot is damage, not a torn tail, because a snapshot is synced
// before it becomes the journal.
func (j *journal) cutTail(size int64, log *slog.Logger) error {
	if j.snapshot == 0 {
		return j.damaged()
	}
	found, err := j.frameAfter(j.file, j.size+1, size)
	if err != nil {
		return fmt.Errorf("read the journal %s: %w", j.path, err)
	}
	if found {
		return j.damaged()
	}
	if err := errors.Join(j.file.Truncate(j.size), j.file.Sync()); err != nil {
		return fmt.Errorf("cut the torn end off the journal %s: %w", j.path, err)
	}
	log.Warn("cut off a partial write at the end of the journal; all writes before it are intact",
		"file", j.path, "offset", j.size, "bytes", size-j.size)
	return nil
}

func (j *journal) damaged() error {
	if j.snapshot == 0 {
		return fmt.Errorf("the journal %s is damaged at byte %d, within its snapshot: put a copy of it back, or move"+
			" the folder away to begin anew", j.path, j.size)
	}
	return fmt.Errorf("the journal %s is damaged at byte %d: put a copy of it back, or, to keep only what is before"+
		" the damage, run: truncate -s %d %s; or move the folder away to begin anew", j.path, j.size, j.size, j.path)
}

// replayer applies the frames of a journal, in order, to an engine.
type replayer struct {
	engine   *engine
	payload  *bytes.Reader
	requests *requestReader
	whole    bool // the end of the snapshot was read
}

func newReplayer(e *engine) *replayer {
	payload := bytes.NewReader(nil)
	return &replayer{
		engine: e, payload: payload,
		requests: newRequestReader(payload, limits{arguments: maxArguments + 16, bytes: maxPayloadBytes}),
	}
}

// applyAll applies whole frames that are in memory.
func (p *replayer) applyAll(f framing, frames []byte) error {
	r := bufio.NewReader(bytes.NewReader(frames))
	var buf bytes.Buffer
	for {
		next, err := f.read(r, &buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.apply(next); err != nil {
			return err
		}
	}
}

func (p *replayer) apply(f frame) error {
	switch f.kind {
	case frameSnapshotEnd:
		p.whole = true
		return nil
	case frameNothing:
		return nil
	case frameSnapshot, frameCommand:
		p.payload.Reset(f.payload)
		p.requests.r.Reset(p.payload)
		args, err := p.requests.next()
		if err != nil {
			return fmt.Errorf("a frame holds no command: %w", err)
		}
		return p.engine.replay(f.at, args)
	default:
		return fmt.Errorf("a frame is of the unknown kind %q: it was written by a newer Davit", f.kind)
	}
}
