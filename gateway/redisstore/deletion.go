package redisstore

import (
	"context"
	"fmt"
	"strings"

	"davit/internal/faas"
)

// deleteFunctionLua deletes a function, its revisions and, on request, its triggers.
//
//	KEYS[4] function, KEYS[5] to KEYS[9] as in releaseLua, KEYS[10] revisions, KEYS[11] functions, KEYS[12] deletedFunctions
//	ARGV[4] name, ARGV[5] "1": with its triggers
//
// Returns "ok VERSION", "missing", or "used TRIGGER…".
const deleteFunctionLua = releaseLua + `
local latest = redis.call('HGET', KEYS[4], 'latest')
if not latest then return 'missing' end
local triggers, names, used = {}, 'f:' .. ARGV[4], 'used'
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[9], '[' .. ARGV[4] .. '/', '(' .. ARGV[4] .. '0')) do
  local name = string.sub(member, #ARGV[4] + 2)
  triggers[#triggers + 1] = name
  names = names .. ' t:' .. name
  used = used .. ' ' .. name
end
if #triggers > 0 and ARGV[5] ~= '1' then return used end
for _, name in ipairs(triggers) do
  redis.call('HDEL', KEYS[5], name)
  release(name)
end
redis.call('HSET', KEYS[12], ARGV[4], latest)
redis.call('DEL', KEYS[4], KEYS[10])
redis.call('ZREM', KEYS[11], ARGV[4])
return done('ok ' .. changed(names))
`

// DeleteFunction deletes a function and its revisions, atomically, and with its triggers if withTriggers is set. It
// returns the registry's version. The error is Conflict, and names triggers, if the function has triggers and
// withTriggers is not set; it is NotFound if the function does not exist.
func (s Registry) DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) (version int64, err error) {
	keys := append(s.triggerKeys(name), s.keys.revisions(name), s.keys.functions(), s.keys.deletedFunctions())
	a, err := s.change(ctx, deleteFunctionLua, keys, string(name), withTriggers)
	switch {
	case err != nil:
	case a.code == "missing":
		return 0, noFunction(name)
	case a.code == "used":
		return 0, inUse(name, a.words)
	default:
		version, err = a.version(0)
	}
	if err != nil {
		return 0, fmt.Errorf("delete function %q: %w", name, err)
	}
	return version, nil
}

// mostNamed is the number of triggers that an error names.
const mostNamed = 20

func inUse(name faas.FunctionName, triggers []string) error {
	more := ""
	if len(triggers) > mostNamed {
		more = fmt.Sprintf(" and %d more", len(triggers)-mostNamed)
		triggers = triggers[:mostNamed]
	}
	return faas.Errorf(faas.Conflict, "function %q has triggers: %s%s; delete them first, or with it", name, strings.Join(triggers, ", "), more)
}
