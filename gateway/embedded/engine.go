package embedded

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// engine is the state: a miniredis without a listener, and what it lacks. It is not safe for concurrent
// use, and everything it does depends only on the commands and instants it is given, so that replaying
// a journal gives the same state again.
//
// Time to live: miniredis counts down what is left, for all keys, on demand. Here its clock stands still
// at the Unix epoch and every expiry reaches it as an absolute instant, so that what it believes to be
// left is the deadline itself; deadlines says which key is due.
type engine struct {
	redis     *miniredis.Miniredis
	server    *server.Server
	db        *miniredis.RedisDB
	commands  map[string]command
	deadlines *deadlines
	scripts   *scripts
	quiet     *server.Peer // whose answers nobody reads
	log       *slog.Logger

	now     int64                         // the instant that the command being run sees
	commit  func() error                  // called before a script's first write; nil: it is in the journal already
	publish func(channel, message string) // nil: nobody listens
}

func newEngine(log *slog.Logger) (*engine, error) {
	redis := miniredis.NewMiniRedis()
	conn, err := redis.Dial() // starts it without a listener
	if err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	redis.SetTime(time.Unix(0, 0))
	e := &engine{
		redis: redis, server: redis.Server(), db: redis.DB(0), commands: commands(), deadlines: newDeadlines(),
		quiet: server.NewPeer(bufio.NewWriter(io.Discard)), log: log,
	}
	e.scripts = newScripts(e)
	return e, nil
}

func (e *engine) close() {
	e.scripts.close()
	e.redis.Close()
}

// run executes a command whose arguments are absolute. The answer goes to c.
func (e *engine) run(c *server.Peer, cmd command, args []string) {
	defer e.contain(c, args[0])
	if cmd.answer != nil {
		cmd.answer(e, c, args)
		return
	}
	if cmd.scored {
		e.runScored(c, args)
		return
	}
	e.server.Dispatch(c, args)
	if cmd.expiring > 0 && cmd.expiring < len(args) {
		e.track(args[cmd.expiring])
	}
}

// contain turns a panic of miniredis, which some malformed arguments cause, into an error for the one
// client that caused it.
func (e *engine) contain(c *server.Peer, name string) {
	cause := recover()
	if cause == nil {
		return
	}
	// It panicked with its lock held, and nobody else uses it.
	e.redis.TryLock()
	e.redis.Unlock()
	e.log.Error("A command panicked.", "command", name, "cause", cause, "stack", string(debug.Stack()))
	c.WriteError("ERR internal error in " + name)
	c.Close() // the answer may have been half written
}

// track takes note of key's deadline, and removes the key if that has passed.
func (e *engine) track(key string) {
	at, ok := e.deadline(key)
	switch {
	case !ok:
	case at <= e.now:
		e.db.Del(key)
	default:
		e.deadlines.set(key, at)
	}
}

func (e *engine) deadline(key string) (int64, bool) {
	left := e.db.TTL(key)
	return left.Milliseconds(), left != 0
}

// expire sets the clock and removes the keys that ran out, which it returns.
func (e *engine) expire(now int64) []string {
	e.now = now
	var gone []string
	for {
		key, ok := e.deadlines.due(now)
		if !ok {
			return gone
		}
		at, ok := e.deadline(key)
		switch {
		case !ok:
		case at > now:
			e.deadlines.set(key, at)
		default:
			e.db.Del(key)
			gone = append(gone, key)
		}
	}
}

// replay executes a command from the journal.
func (e *engine) replay(at int64, args []string) error {
	e.now = at
	name := strings.ToUpper(args[0])
	cmd, ok := e.commands[name]
	if !ok {
		return fmt.Errorf("the command %.64q is not known: it was written by another Davit", name)
	}
	switch {
	case cmd.class == writing:
		e.run(e.quiet, cmd, args)
	case name == "EVALSHA":
		e.scripts.run(e.quiet, args)
	case name == "SCRIPT":
		return e.scripts.replay(args)
	default:
		return fmt.Errorf("the command %.64q does not write", name)
	}
	return nil
}

// answerTTL answers TTL and PTTL, in units of so many milliseconds.
func answerTTL(unit int64) func(*engine, *server.Peer, []string) {
	return func(e *engine, c *server.Peer, args []string) {
		if len(args) != 2 {
			c.WriteError(errArguments(strings.ToLower(args[0])).Error())
			return
		}
		at, ok := e.deadline(args[1])
		switch {
		case ok:
			c.WriteInt(int((at - e.now + unit/2) / unit))
		case e.db.Exists(args[1]):
			c.WriteInt(-1)
		default:
			c.WriteInt(-2)
		}
	}
}

// answerHashIncrement answers HINCRBY, which would wrap around in miniredis.
func answerHashIncrement(e *engine, c *server.Peer, args []string) {
	if len(args) == 4 {
		old, err1 := strconv.ParseInt(e.db.HGet(args[1], args[2]), 10, 64)
		by, err2 := strconv.ParseInt(args[3], 10, 64)
		if sum := old + by; err1 == nil && err2 == nil && (sum > old) != (by > 0) && by != 0 {
			c.WriteError("ERR increment or decrement would overflow")
			return
		}
	}
	e.server.Dispatch(c, args)
}

// answerTime answers TIME. Within a script it is the instant of the script's start, in a replay too.
func answerTime(e *engine, c *server.Peer, _ []string) {
	c.WriteStrings([]string{
		strconv.FormatInt(e.now/1000, 10),
		strconv.FormatInt(e.now%1000*1000, 10),
	})
}
