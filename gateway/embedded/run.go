package embedded

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
)

// commands returns the commands that the server serves, by name.
func commands() map[string]command {
	table := map[string]command{
		"SET":       {class: writing, absolute: absoluteOptions(2, "set"), expiring: 1},
		"GETEX":     {class: writing, absolute: absoluteOptions(1, "getex"), expiring: 1},
		"SETEX":     {class: writing, absolute: absoluteSetex("setex", 1000), expiring: 1},
		"PSETEX":    {class: writing, absolute: absoluteSetex("psetex", 1), expiring: 1},
		"EXPIRE":    {class: writing, absolute: absoluteExpire("expire", true, 1000), expiring: 1},
		"PEXPIRE":   {class: writing, absolute: absoluteExpire("pexpire", true, 1), expiring: 1},
		"EXPIREAT":  {class: writing, absolute: absoluteExpire("expireat", false, 1000), expiring: 1},
		"PEXPIREAT": {class: writing, expiring: 1},
		"RENAME":    {class: writing, expiring: 2},
		"ZADD":      {class: writing, absolute: refuseNaN, scored: true},
		"ZINCRBY":   {class: writing, absolute: refuseNaN, scored: true},
		"ZPOPMIN":   {class: writing, scored: true},
		"HINCRBY":   {class: writing, answer: answerHashIncrement},
		"TTL":       {answer: answerTTL(1000)},
		"PTTL":      {answer: answerTTL(1)},
		"TIME":      {answer: answerTime},
		"EVAL":      {class: scripting},
		"EVALSHA":   {class: scripting},
		"SCRIPT":    {class: scripting},
	}
	for _, name := range strings.Fields(served) {
		table[name] = command{class: reading}
	}
	for _, name := range strings.Fields(servedWrites) {
		table[name] = command{class: writing}
	}
	for _, name := range strings.Fields(servedScored) {
		table[name] = command{class: reading, scored: true}
	}
	return table
}

func newEngine(log *slog.Logger) (*engine, error) {
	redis := miniredis.NewMiniRedis()
	conn, err := redis.Dial() // starts miniredis without a listener
	if err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	redis.SetTime(time.Unix(0, 0))
	e := &engine{
		redis: redis, server: redis.Server(), db: redis.DB(0), commands: commands(), deadlines: newDeadlines(),
		discard: server.NewPeer(bufio.NewWriter(io.Discard)), log: log,
	}
	e.scripts = newScripts(e)
	return e, nil
}

func (e *engine) close() {
	e.scripts.close()
	e.redis.Close()
}

// run executes a command whose arguments are absolute, and writes the answer to c.
func (e *engine) run(c *server.Peer, cmd command, args []string) {
	defer e.recoverPanic(c, args[0])
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

// recoverPanic turns a panic of miniredis into an error for the client that caused it. Some malformed arguments make
// miniredis panic.
func (e *engine) recoverPanic(c *server.Peer, name string) {
	cause := recover()
	if cause == nil {
		return
	}
	// miniredis may have panicked with its lock held. No other goroutine uses miniredis.
	e.redis.TryLock()
	e.redis.Unlock()
	e.log.Error("a command panicked", "command", name, "error", cause, "stack", string(debug.Stack()))
	c.WriteError("ERR internal error in " + name)
	c.Close() // the answer may be half written
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
		e.run(e.discard, cmd, args)
	case name == "EVALSHA":
		e.scripts.run(e.discard, args)
	case name == "SCRIPT":
		return e.scripts.replay(args)
	default:
		return fmt.Errorf("the command %.64q does not write", name)
	}
	return nil
}

func newScripts(e *engine) *scripts {
	s := &scripts{engine: e, texts: map[string]string{}, protos: map[string]*lua.FunctionProto{}}
	s.peer = server.NewPeer(bufio.NewWriter(&s.replies))
	s.parser = bufio.NewReader(&s.replies)
	return s
}
