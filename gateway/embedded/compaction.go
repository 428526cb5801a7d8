package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	catchUpBytes  = 64 << 10 // little enough to be taken over while commands wait
	catchUpRounds = 20       // after so many the commands wait, however much is left
)

// compaction rewrites the journal as a snapshot of the state and what came after it. Commands wait only
// while the state is read and while the files change places. What was written is read back into an
// engine of its own, which then takes the old one's place: so a journal that cannot be read never counts,
// and the memory that miniredis keeps for every key that ever was is freed.
type compaction struct {
	keeper *keeper
	file   *os.File
	engine *engine
	size   int64 // of the new journal
	base   int64 // of its snapshot
	frames []byte
}

// due says whether the journal has grown by most bytes, and to twice its snapshot, since that was made.
func (k *keeper) due(most int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	grown := k.journal.size - k.journal.snapshot
	return grown >= most && grown >= k.journal.snapshot && k.journal.lost == nil
}

// compact rewrites the journal. When it returns an error the journal is as it was.
func (k *keeper) compact(ctx context.Context) error {
	k.compacting.Lock()
	defer k.compacting.Unlock()
	began := time.Now()
	c := &compaction{keeper: k}
	before, err := c.begin()
	if err == nil {
		err = c.catchUp(ctx)
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		c.abandon()
		return fmt.Errorf("compact the journal %s: %w", filepath.Join(k.dir, journalName), err)
	}
	k.log.Debug("The journal was compacted.", "from_bytes", before, "to_bytes", c.size, "took", time.Since(began))
	return nil
}

// begin writes the snapshot, and has every later command copied.
func (c *compaction) begin() (before int64, err error) {
	k := c.keeper
	path := filepath.Join(k.dir, nextName)
	c.file, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600) //nolint:gosec // our own folder
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	w := bufio.NewWriterSize(c.file, 256<<10)
	if _, err := w.Write(k.journal.fileHead()); err != nil {
		return 0, err
	}
	var buf []byte
	err = k.engine.dump(func(args ...string) error {
		buf = k.journal.appendFrame(buf[:0], frameSnapshot, k.engine.now, args)
		_, err := w.Write(buf)
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(k.journal.appendFrame(buf[:0], frameSnapshotEnd, k.engine.now, nil)); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	k.copying = new([]byte)
	return k.journal.size, nil
}

// catchUp reads the new journal into the new engine, and takes over what came meanwhile, until little
// is left.
func (c *compaction) catchUp(ctx context.Context) error {
	k := c.keeper
	var err error
	if c.engine, err = newEngine(k.log); err != nil {
		return err
	}
	if _, err := c.file.Seek(0, 0); err != nil {
		return err
	}
	written := &journal{file: c.file, path: c.file.Name()}
	if _, err := written.read(ctx, c.engine); err != nil {
		return fmt.Errorf("read back what was written, at byte %d: %w", written.size, err)
	}
	c.size, c.base = written.size, written.snapshot
	for range catchUpRounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		k.mu.Lock()
		little := len(*k.copying) <= catchUpBytes
		c.take()
		k.mu.Unlock()
		if err := c.write(k.journal.framing); err != nil {
			return err
		}
		if err := c.file.Sync(); err != nil {
			return err
		}
		if little {
			return nil
		}
	}
	return nil
}

// take moves the copied frames here. The keeper's lock is held.
func (c *compaction) take() {
	c.frames, *c.keeper.copying = *c.keeper.copying, c.frames[:0]
}

// write appends the taken frames to the new journal and applies them to the new engine.
func (c *compaction) write(f framing) error {
	if len(c.frames) == 0 {
		return nil
	}
	if _, err := c.file.Write(c.frames); err != nil {
		return err
	}
	c.size += int64(len(c.frames))
	return newReplayer(c.engine).applyAll(f, c.frames)
}

// finish takes over the rest while commands wait, and changes the places.
func (c *compaction) finish() error {
	k := c.keeper
	k.syncing.Lock()
	defer k.syncing.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.journal.lost != nil {
		return k.journal.lost
	}
	c.take()
	if err := c.write(k.journal.framing); err != nil {
		return err
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(c.file.Name(), k.journal.path); err != nil {
		return err
	}
	old, oldEngine := k.journal, k.engine
	k.journal = &journal{framing: old.framing, file: c.file, path: old.path, size: c.size, snapshot: c.base}
	k.engine, k.copying, k.synced = c.engine, nil, c.size
	k.expire()
	oldEngine.close()
	// The rename is done. Until the folder is synced a crash of the machine may bring the old file
	// back, which lacks what will come: so nothing may come when that fails.
	if err := errors.Join(syncFolder(k.dir), old.file.Close()); err != nil {
		k.journal.lost = errors.Join(errJournalLost, err)
		k.fail(k.journal.lost)
	}
	return nil
}

// abandon leaves the old journal as the one that counts.
func (c *compaction) abandon() {
	k := c.keeper
	k.mu.Lock()
	k.copying = nil
	k.mu.Unlock()
	if c.engine != nil {
		c.engine.close()
	}
	if c.file != nil {
		_ = c.file.Close()
		_ = os.Remove(c.file.Name()) // the next compaction writes it anew
	}
}
