package embedded

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

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

// What is served besides those with a rule of their own. What is random (SPOP, SRANDMEMBER …) would not replay, what blocks
// would hold everybody up, and what is not here was not compared with a real Redis.
const (
	served = `GET MGET STRLEN EXISTS TYPE KEYS SCAN DBSIZE
		HGET HMGET HGETALL HKEYS HVALS HLEN HEXISTS
		SMEMBERS SCARD SISMEMBER SMISMEMBER
		ZCARD ZRANK ZREVRANK ZCOUNT ZLEXCOUNT ZRANGEBYLEX ZREVRANGEBYLEX
		LRANGE LLEN LINDEX EXPIRETIME PEXPIRETIME`
	servedWrites = `SETNX MSET GETDEL DEL UNLINK INCR INCRBY DECR DECRBY PERSIST FLUSHALL
		HSET HSETNX HDEL SADD SREM ZREM ZREMRANGEBYSCORE ZREMRANGEBYLEX ZREMRANGEBYRANK
		LPUSH RPUSH LPOP RPOP LREM LSET LTRIM`
	servedScored = `ZSCORE ZMSCORE ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE`
)

// commands returns the table of what is served.
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

// refusal says why a command is not served. It is never silent: a command that was ignored could be a
// write that is lost.
func refusal(name string) string {
	switch name {
	case "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH":
		return "ERR " + name + " is not served by the embedded Redis: use a Lua script"
	case "BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "BRPOPLPUSH", "XREAD", "XREADGROUP", "WAIT":
		return "ERR " + name + " is not served by the embedded Redis, for it may block: subscribe to a channel"
	case "SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER", "RANDOMKEY":
		return "ERR " + name + " is not served by the embedded Redis, for it would not replay: it is random"
	}
	return fmt.Sprintf("ERR unknown command '%.128s': the embedded Redis does not serve it", name)
}

// absoluteOptions turns EX and PX among the options, which begin after the first n arguments, into PXAT.
func absoluteOptions(n int, name string) func(int64, []string) ([]string, error) {
	return func(now int64, args []string) ([]string, error) {
		for i := n + 1; i+1 < len(args); i++ {
			unit := int64(0)
			switch strings.ToUpper(args[i]) {
			case "EX":
				unit = 1000
			case "PX":
				unit = 1
			case "EXAT", "PXAT":
				i++
				continue
			default:
				continue
			}
			at, err := deadlineAfter(now, args[i+1], unit, name, true)
			if err != nil {
				return nil, err
			}
			args = append([]string(nil), args...)
			args[i], args[i+1] = "PXAT", at
			i++
		}
		return args, nil
	}
}

// absoluteSetex turns SETEX and PSETEX into SET … PXAT.
func absoluteSetex(name string, unit int64) func(int64, []string) ([]string, error) {
	return func(now int64, args []string) ([]string, error) {
		if len(args) != 4 {
			return nil, errArguments(name)
		}
		at, err := deadlineAfter(now, args[2], unit, name, true)
		if err != nil {
			return nil, err
		}
		return []string{"SET", args[1], args[3], "PXAT", at}, nil
	}
}

// absoluteExpire turns EXPIRE, PEXPIRE and EXPIREAT into PEXPIREAT.
func absoluteExpire(name string, relative bool, unit int64) func(int64, []string) ([]string, error) {
	return func(now int64, args []string) ([]string, error) {
		if len(args) < 3 {
			return nil, errArguments(name)
		}
		if !relative {
			now = 0
		}
		at, err := deadlineAfter(now, args[2], unit, name, false)
		if err != nil {
			return nil, err
		}
		return append([]string{"PEXPIREAT", args[1], at}, args[3:]...), nil
	}
}

// deadlineAfter is now plus count units of milliseconds, as text.
func deadlineAfter(now int64, count string, unit int64, name string, positive bool) (string, error) {
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return "", replyError("ERR value is not an integer or out of range")
	}
	if positive && n <= 0 || n > (math.MaxInt64-now)/unit || n < math.MinInt64/unit {
		return "", replyError("ERR invalid expire time in '" + name + "' command")
	}
	return strconv.FormatInt(now+n*unit, 10), nil
}

// refuseNaN refuses a score that is not a number, which miniredis would take.
func refuseNaN(_ int64, args []string) ([]string, error) {
	i := 2
	for i < len(args) && slices.Contains([]string{"NX", "XX", "GT", "LT", "CH", "INCR"}, strings.ToUpper(args[i])) {
		i++
	}
	for ; i < len(args); i += 2 {
		if strings.EqualFold(strings.TrimLeft(args[i], "+-"), "nan") {
			return nil, replyError("ERR value is not a valid float")
		}
	}
	return args, nil
}

// replyError is an error as a client gets it.
type replyError string

func (e replyError) Error() string { return string(e) }

func errArguments(name string) error {
	return replyError("ERR wrong number of arguments for '" + name + "' command")
}
