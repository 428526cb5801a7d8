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

const goneChunk = 1000 // expired keys in one frame

// keeper holds state and journal together: one command at a time, in the journal in the order in which
// they run.
type keeper struct {
	dir   string
	clock func() time.Time
	log   *slog.Logger
	errs  chan error // what Server.Err returns

	mu      sync.Mutex
	engine  *engine
	journal *journal
	publish func(channel, message string)
	gone    []string // expired, but not yet in the journal as deleted
	copying *[]byte  // frames that a compaction under way has still to take over; nil: none is
	failure error    // why the journal cannot be written now; nil: it can
	synced  int64    // the journal's size at the last sync

	compacting sync.Mutex // held by a compaction; taken before the others
	syncing    sync.Mutex // held while the file is being synced or replaced; taken before mu
}

// execute runs one command on keys for a client.
func (k *keeper) execute(c *server.Peer, name string, args []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cmd, ok := k.engine.commands[name]
	if !ok {
		c.WriteError(refusal(name))
		return
	}
	k.expire()
	switch cmd.class {
	case scripting:
		k.script(c, name, args)
	case writing:
		k.write(c, cmd, args)
	default:
		k.engine.run(c, cmd, args)
	}
}

// expire moves the clock on. What runs out is deleted in the state at once, and in the journal before
// the next command that is written there: until then a replay would not notice.
func (k *keeper) expire() {
	k.gone = append(k.gone, k.engine.expire(k.clock().UnixMilli())...)
}

func (k *keeper) write(c *server.Peer, cmd command, args []string) {
	if cmd.absolute != nil {
		var err error
		if args, err = cmd.absolute(k.engine.now, args); err != nil {
			c.WriteError(err.Error())
			return
		}
	}
	if err := k.record(args); err != nil {
		c.WriteError(err.Error())
		return
	}
	k.engine.run(c, cmd, args)
}

// record appends a command to the journal. Only when it succeeded may the command run.
func (k *keeper) record(args []string) error {
	now := k.engine.now
	var frames []byte
	for rest := k.gone; len(rest) > 0; {
		chunk := rest[:min(goneChunk, len(rest))]
		rest = rest[len(chunk):]
		frames = k.journal.appendFrame(frames, frameCommand, now, append([]string{"DEL"}, chunk...))
	}
	frames = k.journal.appendFrame(frames, frameCommand, now, args)
	if err := k.append(frames); err != nil {
		return err
	}
	k.gone = nil
	return nil
}

func (k *keeper) append(frames []byte) error {
	if err := k.journal.append(frames); err != nil {
		k.fail(err)
		return k.misconf()
	}
	if k.copying != nil {
		*k.copying = append(*k.copying, frames...)
	}
	return nil
}

// fail takes note that the journal cannot be written, and tells of the first of a row of failures.
func (k *keeper) fail(err error) {
	if k.failure == nil {
		k.log.Error("The journal cannot be written. Writes are refused.", "file", k.journal.path, "error", err)
		select {
		case k.errs <- fmt.Errorf("write the journal %s: %w", k.journal.path, err):
		default: // the one before was not read yet
		}
	}
	k.failure = err
}

func (k *keeper) misconf() error {
	return replyError(fmt.Sprintf("MISCONF the journal %s cannot be written, so nothing was changed: %v", k.journal.path, k.failure))
}

// script runs EVAL, EVALSHA and SCRIPT. The journal knows EVAL as SCRIPT LOAD, once, and EVALSHA.
func (k *keeper) script(c *server.Peer, name string, args []string) {
	switch {
	case name == "SCRIPT":
		k.scriptCommand(c, args)
		return
	case len(args) < 3:
		c.WriteError(errArguments(strings.ToLower(name)).Error())
		return
	case name == "EVAL":
		sha, err := k.load(args[1])
		if err != nil {
			c.WriteError(err.Error())
			return
		}
		args = append([]string{"EVALSHA", sha}, args[2:]...)
	}
	k.engine.commit = func() error { return k.record(args) }
	k.engine.publish = k.publish
	k.engine.scripts.run(c, args)
	k.engine.commit, k.engine.publish = nil, nil
}

// load makes a script known, and returns its name.
func (k *keeper) load(text string) (string, error) {
	sha := scriptName(text)
	if _, known := k.engine.scripts.texts[sha]; known {
		return sha, nil
	}
	proto, err := k.engine.scripts.compile(text)
	if err != nil {
		return "", err
	}
	if err := k.record([]string{"SCRIPT", "LOAD", text}); err != nil {
		return "", err
	}
	k.engine.scripts.add(text, proto)
	return sha, nil
}

func (k *keeper) scriptCommand(c *server.Peer, args []string) {
	sub := ""
	if len(args) > 1 {
		sub = strings.ToUpper(args[1])
	}
	switch {
	case sub == "LOAD" && len(args) == 3:
		sha, err := k.load(args[2])
		if err != nil {
			c.WriteError(err.Error())
			return
		}
		c.WriteBulk(sha)
	case sub == "EXISTS" && len(args) > 2:
		c.WriteLen(len(args) - 2)
		for _, sha := range args[2:] {
			known := 0
			if _, ok := k.engine.scripts.texts[strings.ToLower(sha)]; ok {
				known = 1
			}
			c.WriteInt(known)
		}
	case sub == "FLUSH":
		if err := k.record([]string{"SCRIPT", "FLUSH"}); err != nil {
			c.WriteError(err.Error())
			return
		}
		k.engine.scripts.flush()
		c.WriteOK()
	default:
		c.WriteError("ERR SCRIPT takes LOAD with a script, EXISTS with names, or FLUSH")
	}
}

// sync makes durable what was appended. An error of fsync is final: what the disk holds is not known.
func (k *keeper) sync() {
	k.syncing.Lock()
	defer k.syncing.Unlock()
	k.mu.Lock()
	j, size := k.journal, k.journal.size
	clean := size == k.synced || j.lost != nil
	k.mu.Unlock()
	if clean {
		return
	}
	err := j.file.Sync()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		j.lost = errors.Join(errJournalLost, err)
		k.fail(j.lost)
		return
	}
	k.synced = size
}

// probe looks whether there is room again after a write failed. Until it says so the server calls itself
// unwell, although a short command may have found its place.
func (k *keeper) probe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure == nil || k.journal.lost != nil {
		return
	}
	if err := k.journal.probe(); err != nil {
		k.fail(err)
		return
	}
	k.failure = nil
	k.log.Info("The journal can be written again.", "file", k.journal.path)
}

// tick removes what ran out although nobody asked for it, so that its memory is free.
func (k *keeper) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
}

// writable says whether writes are acknowledged.
func (k *keeper) writable() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure != nil {
		return k.misconf()
	}
	return nil
}

// close makes the journal durable and closes it. An error means that the last commands may be lost
// should the machine stop; the process may end.
func (k *keeper) close() error {
	k.sync()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.engine.close()
	err := k.journal.file.Close()
	close(k.errs)
	if k.failure != nil {
		err = errors.Join(fmt.Errorf("write the journal %s: %w", k.journal.path, k.failure), err)
	}
	return err
}
