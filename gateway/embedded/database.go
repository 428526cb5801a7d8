package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

const expiredChunk = 1000 // how many expired keys one frame deletes

// database is the state and its journal. It runs one command at a time, and writes the commands to the journal in the
// order in which they run.
type database struct {
	dir   string
	clock func() time.Time
	log   *slog.Logger
	errs  chan error // what Server.Err returns

	mu      sync.Mutex
	engine  *engine
	journal *journal
	publish func(channel, message string)
	expired []string // expired, but not yet in the journal as deleted
	copying *[]byte  // frames that the running compaction has not added yet; nil: no compaction runs
	failure error    // why the journal cannot be written now; nil: it can
	synced  int64    // the journal's size at the last sync

	compacting sync.Mutex // held by a compaction; locked before the others
	syncing    sync.Mutex // held while the file is being synced or replaced; locked before mu
}

// execute runs one command of a client and writes the answer to c.
func (d *database) execute(c *server.Peer, name string, args []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cmd, ok := d.engine.commands[name]
	if !ok {
		c.WriteError(refusal(name))
		return
	}
	d.expire()
	switch cmd.class {
	case scripting:
		d.script(c, name, args)
	case writing:
		d.write(c, cmd, args)
	default:
		d.engine.run(c, cmd, args)
	}
}

// expire advances the clock. It deletes expired keys from the state at once. record writes the deletions to the journal
// before the next command, which is soon enough for a replay.
func (d *database) expire() {
	d.expired = append(d.expired, d.engine.expire(d.clock().UnixMilli())...)
}

func (d *database) write(c *server.Peer, cmd command, args []string) {
	if cmd.absolute != nil {
		var err error
		if args, err = cmd.absolute(d.engine.now, args); err != nil {
			c.WriteError(err.Error())
			return
		}
	}
	if err := d.record(args); err != nil {
		c.WriteError(err.Error())
		return
	}
	d.engine.run(c, cmd, args)
}

// record appends a command to the journal. The command may run only if record returns nil.
func (d *database) record(args []string) error {
	now := d.engine.now
	var frames []byte
	for rest := d.expired; len(rest) > 0; {
		chunk := rest[:min(expiredChunk, len(rest))]
		rest = rest[len(chunk):]
		frames = d.journal.appendFrame(frames, frameCommand, now, append([]string{"DEL"}, chunk...))
	}
	frames = d.journal.appendFrame(frames, frameCommand, now, args)
	if err := d.append(frames); err != nil {
		return err
	}
	d.expired = nil
	return nil
}

func (d *database) append(frames []byte) error {
	if err := d.journal.append(frames); err != nil {
		d.fail(err)
		return d.misconf()
	}
	if d.copying != nil {
		*d.copying = append(*d.copying, frames...)
	}
	return nil
}

// fail records that the journal cannot be written. It logs and reports the first failure since the journal could last
// be written.
func (d *database) fail(err error) {
	if d.failure == nil {
		d.log.Error("cannot write the journal; writes are refused", "file", d.journal.path, "error", err)
		select {
		case d.errs <- fmt.Errorf("write the journal %s: %w", d.journal.path, err):
		default: // the caller of Server.Err has not received the error before yet
		}
	}
	d.failure = err
}

func (d *database) misconf() error {
	return replyError(fmt.Sprintf("MISCONF the journal %s cannot be written, so nothing was changed: %v", d.journal.path, d.failure))
}

// script runs EVAL, EVALSHA and SCRIPT. The journal contains an EVAL as one SCRIPT LOAD and an EVALSHA for each run.
func (d *database) script(c *server.Peer, name string, args []string) {
	switch {
	case name == "SCRIPT":
		d.scriptCommand(c, args)
		return
	case len(args) < 3:
		c.WriteError(errArguments(strings.ToLower(name)).Error())
		return
	case name == "EVAL":
		sha, err := d.load(args[1])
		if err != nil {
			c.WriteError(err.Error())
			return
		}
		args = append([]string{"EVALSHA", sha}, args[2:]...)
	}
	d.engine.commit = func() error { return d.record(args) }
	d.engine.publish = d.publish
	d.engine.scripts.run(c, args)
	d.engine.commit, d.engine.publish = nil, nil
}

// load adds a script, unless it is known already, and returns its name.
func (d *database) load(text string) (string, error) {
	sha := scriptName(text)
	if _, known := d.engine.scripts.texts[sha]; known {
		return sha, nil
	}
	proto, err := d.engine.scripts.compile(text)
	if err != nil {
		return "", err
	}
	if err := d.record([]string{"SCRIPT", "LOAD", text}); err != nil {
		return "", err
	}
	d.engine.scripts.add(text, proto)
	return sha, nil
}

func (d *database) scriptCommand(c *server.Peer, args []string) {
	sub := ""
	if len(args) > 1 {
		sub = strings.ToUpper(args[1])
	}
	switch {
	case sub == "LOAD" && len(args) == 3:
		sha, err := d.load(args[2])
		if err != nil {
			c.WriteError(err.Error())
			return
		}
		c.WriteBulk(sha)
	case sub == "EXISTS" && len(args) > 2:
		c.WriteLen(len(args) - 2)
		for _, sha := range args[2:] {
			known := 0
			if _, ok := d.engine.scripts.texts[strings.ToLower(sha)]; ok {
				known = 1
			}
			c.WriteInt(known)
		}
	case sub == "FLUSH":
		if err := d.record([]string{"SCRIPT", "FLUSH"}); err != nil {
			c.WriteError(err.Error())
			return
		}
		d.engine.scripts.flush()
		c.WriteOK()
	default:
		c.WriteError("ERR SCRIPT takes LOAD with a script, EXISTS with names, or FLUSH")
	}
}

// sync makes the appended frames durable. An error of fsync is final because the content of the disk is unknown after
// it.
func (d *database) sync() {
	d.syncing.Lock()
	defer d.syncing.Unlock()
	d.mu.Lock()
	j, size := d.journal, d.journal.size
	clean := size == d.synced || j.lost != nil
	d.mu.Unlock()
	if clean {
		return
	}
	err := j.file.Sync()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		j.lost = errors.Join(errJournalLost, err)
		d.fail(j.lost)
		return
	}
	d.synced = size
}

// probe checks, after a failed write, whether the journal can be written again. Until probe succeeds, PING answers
// MISCONF, even if a short command was written meanwhile.
func (d *database) probe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure == nil || d.journal.lost != nil {
		return
	}
	if err := d.journal.probe(); err != nil {
		d.fail(err)
		return
	}
	d.failure = nil
	d.log.Info("the journal can be written again", "file", d.journal.path)
}

// tick removes expired keys, so that their memory is freed even if no command names them.
func (d *database) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
}

// writable returns nil if the journal can be written, and the MISCONF error otherwise.
func (d *database) writable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure != nil {
		return d.misconf()
	}
	return nil
}

// close syncs and closes the journal. An error means that a stop of the machine may lose the last commands; the end of
// the process loses none.
func (d *database) close() error {
	d.sync()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.close()
	err := d.journal.file.Close()
	close(d.errs)
	if d.failure != nil {
		err = errors.Join(fmt.Errorf("write the journal %s: %w", d.journal.path, d.failure), err)
	}
	return err
}
