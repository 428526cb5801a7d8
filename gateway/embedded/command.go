package embedded

import (
	"math"
	"strconv"
	"strings"
)

// The commands that the server serves, besides the commands with an entry of their own in commands. Random commands
// (SPOP, SRANDMEMBER …) are not served because a replay would give another state, blocking commands because they would
// block all clients, and all others because the tests do not compare them with a real Redis.
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

// absoluteOptions turns the options EX and PX into PXAT. The options begin after the first n arguments.
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

// deadlineAfter returns now plus count times unit milliseconds, as text.
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
