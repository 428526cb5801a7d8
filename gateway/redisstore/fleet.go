package redisstore

import (
	"context"
	"fmt"

	"davit/internal/faas"
)

// Fleet stores the numbers of standby and warm runners of each function, the demand of each gateway, and which gateway
// leads the fleet.
type Fleet struct {
	*conn

	permits Permits
}

// grantLua adds runners to the number of kept runners of a function, as many as the limit allows.
//
//	KEYS, ARGV: as in admitLua; ARGV[5] the number of runners that are wanted
//
// Returns the number of runners that were added.
const grantLua = admitLua + `
local granted = admit(tonumber(ARGV[5]))
if granted > 0 then redis.call('HINCRBY', KEYS[2], ARGV[1], granted) end
return granted
`

// GrantKept returns how many of n more standby and warm runners a function may have, and counts them as kept. all is
// the limit of the runners of all functions; 0: no limit.
func (s Fleet) GrantKept(ctx context.Context, fn faas.FunctionName, n, all int) (int, error) {
	granted, err := s.eval(ctx, grantLua, s.permits.admitKeys(), append(s.permits.admitArgs(fn, all), n)...).Int()
	if err != nil {
		return 0, fmt.Errorf("grant %d runners of %q: %w", n, fn, s.translate(err))
	}
	return granted, nil
}

// setKeptLua replaces the numbers of kept runners.
//
//	KEYS, ARGV: as in admitLua, with ARGV[1] ""; ARGV[5] channel, ARGV[6]… functions and their numbers
//
// Returns how many more runners there may be, and for each function that has runners or waits for one: its name, its
// number of runners, and 1 if it waits for one.
const setKeptLua = admitLua + `
local had, before = runners()
redis.call('DEL', KEYS[2])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
admit(0)
local has, total = runners()
if total < before then
  local fewer = {}
  for fn, n in pairs(had) do
    if (has[fn] or 0) < n then fewer[#fewer + 1] = 'place ' .. fn end
  end
  redis.call('PUBLISH', ARGV[5], table.concat(fewer, '\n'))
end
local answer, waiting = {tonumber(ARGV[3]) - total}, {}
for _, fn in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  waiting[fn] = true
  has[fn] = has[fn] or 0
end
for fn, n in pairs(has) do
  answer[#answer + 1] = fn
  answer[#answer + 1] = n
  answer[#answer + 1] = waiting[fn] and 1 or 0
end
return answer
`

// SetKept replaces the numbers of standby and warm runners of all functions. room is how many more runners there may
// be. shares are the functions that have runners or wait for one.
func (s Fleet) SetKept(ctx context.Context, kept map[faas.FunctionName]int, all int) (room int, shares []faas.Share, err error) {
	args := append(s.permits.admitArgs("", all), s.keys.messages())
	for fn, n := range kept {
		if n > 0 {
			args = append(args, string(fn), n)
		}
	}
	answer, err := s.eval(ctx, setKeptLua, s.permits.admitKeys(), args...).Slice()
	if err != nil {
		return 0, nil, fmt.Errorf("set the numbers of kept runners: %w", s.translate(err))
	}
	if len(answer)%3 != 1 {
		return 0, nil, fmt.Errorf("set the numbers of kept runners: %w", errReply(answer))
	}
	left, _ := answer[0].(int64)
	for i := 1; i < len(answer); i += 3 {
		fn, _ := answer[i].(string)
		n, _ := answer[i+1].(int64)
		wishes, _ := answer[i+2].(int64)
		shares = append(shares, faas.Share{Function: faas.FunctionName(fn), Runners: int(n), Refused: wishes == 1})
	}
	return int(left), shares, nil
}
