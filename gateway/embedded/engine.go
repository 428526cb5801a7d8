package embedded

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
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

// class says what the keeper does with a command.
type class int

const (
	reading   class = iota // changes nothing
	writing                // is written to the journal before it runs
	scripting              // EVAL, EVALSHA, SCRIPT
)

// command is one command on keys that the server serves.
type command struct {
	class class
	// absolute makes the arguments independent of when they run; nil: they are.
	absolute func(now int64, args []string) ([]string, error)
	// expiring is the index of the argument that names a key whose deadline may change; 0: none does.
	expiring int
	// scored marks an answer that holds scores, which miniredis writes differently from Redis.
	scored bool
	// answer runs the command in miniredis' stead; nil: miniredis does.
	answer func(e *engine, c *server.Peer, args []string)
}

// scripts runs Lua as Redis does (Lua 5.1, https://redis.io/docs/latest/develop/programmability/lua-api/),
// with what would make a replay differ left out: math.random, os, print, and the files. miniredis has an
// EVAL too, but builds a Lua state for each run, at a quarter of a millisecond and 200 kB.
//
// The libraries are base, string, table and math. There is no cjson, cmsgpack, bit or struct.
type scripts struct {
	engine *engine
	texts  map[string]string // by SHA-1, in hexadecimal
	protos map[string]*lua.FunctionProto
	state  *lua.LState // nil: to be made; an error in a script leaves it in no known condition

	peer    *server.Peer // where the commands of a script are answered
	replies bytes.Buffer
	parser  *bufio.Reader
}

func scriptName(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by it
	return hex.EncodeToString(sum[:])
}
