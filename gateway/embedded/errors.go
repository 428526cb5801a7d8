package embedded

import (
	"fmt"
	"slices"
	"strings"
)

// refusal returns the error text for a command that the server does not serve. The server ignores no command, because
// an ignored write would be lost.
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

// refuseNaN refuses a score that is NaN, because miniredis would accept it.
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

// replyError is the text of an error reply to a client.
type replyError string

func (e replyError) Error() string { return string(e) }

func errArguments(name string) error {
	return replyError("ERR wrong number of arguments for '" + name + "' command")
}
