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
	catchUpBytes  = 64 << 10 // few enough bytes to copy while commands wait
	catchUpRounds = 20       // after this many rounds the commands wait, however much is left to copy
)

// compaction rewrites the journal as a snapshot of the state and the commands that ran after the snapshot. Commands
// wait only while the compaction reads the state and while it renames the files. The compaction reads the new journal
// into a new engine, which then replaces the old one, for two reasons: a journal that cannot be read never replaces a
// good one, and the new engine frees the memory that miniredis keeps for every key that ever existed.
type compaction struct {
	database *database
	file     *os.File
	engine   *engine
	size     int64 // of the new journal
	base     int64 // of its snapshot
	frames   []byte
}

// due reports whether the journal has grown by most bytes, and to twice the size of its snapshot, since the snapshot
// was made.
func (d *database) due(most int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	grown := d.journal.size - d.journal.snapshot
	return grown >= most && grown >= d.journal.snapshot && d.journal.lost == nil
}

// compact rewrites the journal. If it returns an error, the journal is unchanged.
func (d *database) compact(ctx context.Context) error {
	d.compacting.Lock()
	defer d.compacting.Unlock()
	began := time.Now()
	c := &compaction{database: d}
	before, err := c.begin()
	if err == nil {
		err = c.catchUp(ctx)
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		c.abandon()
		return fmt.Errorf("compact the journal %s: %w", filepath.Join(d.dir, journalName), err)
	}
	d.log.Debug("journal compacted", "from_bytes", before, "to_bytes", c.size, "took", time.Since(began))
	return nil
}

// begin writes the snapshot and makes the database copy every later command.
func (c *compaction) begin() (before int64, err error) {
	d := c.database
	path := filepath.Join(d.dir, nextName)
	c.file, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	w := bufio.NewWriterSize(c.file, 256<<10)
	if _, err := w.Write(d.journal.fileHead()); err != nil {
		return 0, err
	}
	var buf []byte
	err = d.engine.dump(func(args ...string) error {
		buf = d.journal.appendFrame(buf[:0], frameSnapshot, d.engine.now, args)
		_, err := w.Write(buf)
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(d.journal.appendFrame(buf[:0], frameSnapshotEnd, d.engine.now, nil)); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	d.copying = new([]byte)
	return d.journal.size, nil
}

// catchUp reads the new journal into the new engine and adds the commands that ran meanwhile, until at most
// catchUpBytes are left.
func (c *compaction) catchUp(ctx context.Context) error {
	d := c.database
	var err error
	if c.engine, err = newEngine(d.log); err != nil {
		return err
	}
	if _, err := c.file.Seek(0, 0); err != nil {
		return err
	}
	written := &journal{file: c.file, path: c.file.Name()}
	if _, err := written.read(ctx, c.engine); err != nil {
		return fmt.Errorf("read back the new journal, at byte %d: %w", written.size, err)
	}
	c.size, c.base = written.size, written.snapshot
	for range catchUpRounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.mu.Lock()
		little := len(*d.copying) <= catchUpBytes
		c.takeFrames()
		d.mu.Unlock()
		if err := c.write(d.journal.framing); err != nil {
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

// takeFrames moves the copied frames from the database to c. The caller holds database.mu.
func (c *compaction) takeFrames() {
	c.frames, *c.database.copying = *c.database.copying, c.frames[:0]
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

// finish adds the remaining commands while commands wait, and replaces journal and engine.
func (c *compaction) finish() error {
	d := c.database
	d.syncing.Lock()
	defer d.syncing.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.journal.lost != nil {
		return d.journal.lost
	}
	c.takeFrames()
	if err := c.write(d.journal.framing); err != nil {
		return err
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(c.file.Name(), d.journal.path); err != nil {
		return err
	}
	old, oldEngine := d.journal, d.engine
	d.journal = &journal{framing: old.framing, file: c.file, path: old.path, size: c.size, snapshot: c.base}
	d.engine, d.copying, d.synced = c.engine, nil, c.size
	d.expire()
	oldEngine.close()
	// Until the folder is synced, a crash of the machine may bring the old file back, which lacks all commands after
	// the rename. So the journal takes no more commands if the sync fails.
	if err := errors.Join(syncFolder(d.dir), old.file.Close()); err != nil {
		d.journal.lost = errors.Join(errJournalLost, err)
		d.fail(d.journal.lost)
	}
	return nil
}

// abandon keeps the old journal and removes the new one.
func (c *compaction) abandon() {
	d := c.database
	d.mu.Lock()
	d.copying = nil
	d.mu.Unlock()
	if c.engine != nil {
		c.engine.close()
	}
	if c.file != nil {
		_ = c.file.Close()
		_ = os.Remove(c.file.Name()) // the next compaction truncates the file if it is still there
	}
}
