package embedded

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
)

// engine is the state: a miniredis without a listener, with the commands and the expiry that miniredis lacks. It is not
// safe for concurrent use. Its state depends only on the commands and instants that it is given, so that a replay of
// the journal gives the same state again.
//
// Time to live: miniredis counts down the remaining time of all keys on demand. The engine stops the clock of miniredis
// at the Unix epoch and gives miniredis every expiry as an absolute instant, so that the remaining time in miniredis is
// the deadline itself. deadlines returns the keys that are due.
type engine struct {
	redis     *miniredis.Miniredis
	server    *server.Server
	db        *miniredis.RedisDB
	commands  map[string]command
	deadlines *deadlines
	scripts   *scripts
	discard   *server.Peer // discards the answers
	log       *slog.Logger

	now     int64                         // the instant that the running command sees, Unix milliseconds
	commit  func() error                  // called before a script's first write; nil: the script is in the journal already
	publish func(channel, message string) // nil: a replay, which publishes nothing
}

// track records the deadline of key, and removes the key if the deadline has passed.
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

// expire sets the clock to now, and removes and returns the keys that have expired.
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

// answerTTL answers TTL and PTTL, in units of unit milliseconds.
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

// answerTime answers TIME. In a script, and in its replay, TIME is the instant of the script's start.
func answerTime(e *engine, c *server.Peer, _ []string) {
	c.WriteStrings([]string{
		strconv.FormatInt(e.now/1000, 10),
		strconv.FormatInt(e.now%1000*1000, 10),
	})
}

// class is how the database executes a command.
type class int

const (
	reading   class = iota // changes nothing
	writing                // written to the journal before it runs
	scripting              // EVAL, EVALSHA, SCRIPT
)

// command is one command on keys that the server serves.
type command struct {
	class class
	// absolute makes the arguments independent of the time at which they run; nil: they are already.
	absolute func(now int64, args []string) ([]string, error)
	// expiring is the index of the argument that names a key whose deadline may change; 0: none does.
	expiring int
	// scored marks a command whose answer contains scores, which miniredis formats differently from Redis.
	scored bool
	// answer runs the command instead of miniredis; nil: miniredis runs it.
	answer func(e *engine, c *server.Peer, args []string)
}

// scripts runs Lua as Redis does (Lua 5.1, https://redis.io/docs/latest/develop/programmability/lua-api/). math.random,
// os, print and the file functions are left out because a replay of them would differ. The EVAL of miniredis is not
// used because it builds a Lua state for each run, which takes a quarter of a millisecond and 200 kB.
//
// The libraries are base, string, table and math. There is no cjson, cmsgpack, bit or struct.
type scripts struct {
	engine *engine
	texts  map[string]string // by SHA-1, in hexadecimal
	protos map[string]*lua.FunctionProto
	state  *lua.LState // nil: run makes a new one, after an error in a script too, which leaves the state undefined

	peer    *server.Peer // receives the answers of a script's commands
	replies bytes.Buffer
	parser  *bufio.Reader
}

func scriptName(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by it
	return hex.EncodeToString(sum[:])
}
