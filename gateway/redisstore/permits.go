package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// Permits keeps the permits to run jobs.
type Permits struct{ *conn }

// Places are for running jobs: each function has its own number of them, and all
// functions together may have one, which counts the runners that are kept, too. Where
// those run out functions take turns: who has fewest comes first.

// admitLua is how many of n runners a function may start.
//
//	KEYS[1] places of all functions, KEYS[2] kept, KEYS[3] wishes
//	ARGV[1] function, ARGV[2] ms now, ARGV[3] most runners of all functions, 0: any number,
//	ARGV[4] ms when a wish that is not fulfilled lapses
const admitLua = `
local function held()
  local n, total = {}, 0
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local fn = string.match(member, '^%S+')
    n[fn], total = (n[fn] or 0) + 1, total + 1
  end
  local kept = redis.call('HGETALL', KEYS[2])
  for i = 1, #kept, 2 do
    n[kept[i]], total = (n[kept[i]] or 0) + tonumber(kept[i + 1]), total + tonumber(kept[i + 1])
  end
  return n, total
end
local function admit(n)
  local most = tonumber(ARGV[3])
  if most == 0 then return n end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[2])
  local has, total = held()
  local wishes = redis.call('ZRANGE', KEYS[3], 0, -1)
  local granted = 0
  while granted < n do
    local room = most - total - granted
    for _, fn in ipairs(wishes) do
      if fn ~= ARGV[1] and (has[fn] or 0) < (has[ARGV[1]] or 0) + granted then room = room - 1 end
    end
    if room <= 0 then break end
    granted = granted + 1
  end
  if granted < n then redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1]) else redis.call('ZREM', KEYS[3], ARGV[1]) end
  return granted
end
`

// acquireLua takes a place.
//
//	KEYS, ARGV: as in admitLua, and KEYS[4] places of the function; ARGV[5] id, ARGV[6] how many places
//	the function has, ARGV[7] ms when it lapses, ARGV[8] ms when the key may go
//
// Answers 1, or 0 when all are taken.
const acquireLua = admitLua + `
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[2])
local member = ARGV[1] .. ' ' .. ARGV[5]
if not redis.call('ZSCORE', KEYS[4], ARGV[5]) then
  if redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[6]) then
    redis.call('ZREM', KEYS[3], ARGV[1])
    return 0
  end
  if admit(1) == 0 then return 0 end
end
redis.call('ZADD', KEYS[4], ARGV[7], ARGV[5])
redis.call('ZADD', KEYS[1], ARGV[7], member)
redis.call('PEXPIREAT', KEYS[4], ARGV[8])
redis.call('PEXPIREAT', KEYS[1], ARGV[8])
return 1
`

const (
	// placesLife is for how long the places of a function outlive the last that was
	// taken or renewed: longer than any lease.
	placesLife = time.Hour
	// wishLife is for how long a function that was refused comes before those that have
	// more. It asks again sooner.
	wishLife = 1500 * time.Millisecond
)

// admitKeys are the first KEYS of the scripts that admit runners.
func (s Permits) admitKeys() []string {
	return []string{s.keys.allPlaces(), s.keys.kept(), s.keys.wishes()}
}

// admitArgs are their first ARGV.
func (s Permits) admitArgs(fn faas.FunctionName, all int) []any {
	now := s.now()
	return []any{string(fn), s.stamp(now), all, s.stamp(now.Add(wishLife))}
}

// AcquirePlace takes one of most places among a function's running jobs, and one
// of all runners (0: any number), all gateways together, until it is released or lapses. The
// same id twice takes one place and prolongs it.
func (s Permits) AcquirePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most, all int, until time.Time) (bool, error) {
	args := append(s.admitArgs(fn, all), string(id), most, s.stamp(until), s.stamp(until.Add(placesLife)))
	got, err := s.eval(ctx, acquireLua, append(s.admitKeys(), s.keys.places(fn)), args...).Int()
	if err != nil {
		return false, fmt.Errorf("take a place of %q for %s: %w", fn, id, s.fault(err))
	}
	return got == 1, nil
}

// RenewPlaces prolongs places. One that has lapsed is taken again, beyond the
// bound if need be, since its job does run.
func (s Permits) RenewPlaces(ctx context.Context, fn faas.FunctionName, ids []faas.InvocationID, until time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	score := float64(s.stamp(until))
	members, named := make([]redis.Z, len(ids)), make([]redis.Z, len(ids))
	for i, id := range ids {
		members[i] = redis.Z{Score: score, Member: string(id)}
		named[i] = redis.Z{Score: score, Member: string(fn) + " " + string(id)}
	}
	gone := time.UnixMilli(s.stamp(until.Add(placesLife)))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, s.keys.places(fn), members...)
		p.PExpireAt(ctx, s.keys.places(fn), gone)
		p.ZAdd(ctx, s.keys.allPlaces(), named...)
		p.PExpireAt(ctx, s.keys.allPlaces(), gone)
		return nil
	})
	if err != nil {
		return fmt.Errorf("renew %d places of %q: %w", len(ids), fn, s.fault(err))
	}
	return nil
}

// releasePlaceLua gives a place back and tells those who wait for one.
//
//	KEYS[1] places of the function, KEYS[2] places of all functions; ARGV[1] channel, ARGV[2] id, ARGV[3] function
const releasePlaceLua = `
redis.call('ZREM', KEYS[2], ARGV[3] .. ' ' .. ARGV[2])
if redis.call('ZREM', KEYS[1], ARGV[2]) == 1 then redis.call('PUBLISH', ARGV[1], 'place ' .. ARGV[3]) end
return 1
`

// ReleasePlace gives a place back and tells everybody. One that is not held is fine.
func (s Permits) ReleasePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID) error {
	err := s.eval(ctx, releasePlaceLua, []string{s.keys.places(fn), s.keys.allPlaces()}, s.keys.messages(), string(id), string(fn)).Err()
	if err != nil {
		return fmt.Errorf("give back a place of %q: %w", fn, s.fault(err))
	}
	return nil
}
