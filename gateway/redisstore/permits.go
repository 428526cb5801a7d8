package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// Permits stores the permits to run jobs.
type Permits struct{ *conn }

// A job needs a permit to run. Each function has a limit of permits, and all functions together may have a limit of
// runners, which includes the kept ones. When that limit is reached functions take turns: a waiting function with fewer
// runners comes first.

// admitLua decides how many of n runners a function may start.
//
//	KEYS[1] permits of all functions, KEYS[2] kept, KEYS[3] waiting
//	ARGV[1] function, ARGV[2] ms now, ARGV[3] limit of the runners of all functions, 0: none,
//	ARGV[4] ms until which the function counts as waiting if it is refused
const admitLua = `
local function runners()
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
  local has, total = runners()
  local waiting = redis.call('ZRANGE', KEYS[3], 0, -1)
  local granted = 0
  while granted < n do
    local room = most - total - granted
    for _, fn in ipairs(waiting) do
      if fn ~= ARGV[1] and (has[fn] or 0) < (has[ARGV[1]] or 0) + granted then room = room - 1 end
    end
    if room <= 0 then break end
    granted = granted + 1
  end
  if granted < n then redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1]) else redis.call('ZREM', KEYS[3], ARGV[1]) end
  return granted
end
`

// acquireLua acquires a permit.
//
//	KEYS, ARGV: as in admitLua, and KEYS[4] permits of the function; ARGV[5] ID, ARGV[6] limit of the
//	function, ARGV[7] ms when the permit ends, ARGV[8] ms when the key expires
//
// Returns 1, or 0 if there is none.
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
	// permitsLife is how long the key of a function's permits exists after the last one was acquired or renewed: longer
	// than any lease.
	permitsLife = time.Hour
	// waitingLife is how long a refused function comes before functions with more runners. The refused function tries
	// again sooner.
	waitingLife = 1500 * time.Millisecond
)

// admitKeys returns the KEYS of admitLua.
func (s Permits) admitKeys() []string {
	return []string{s.keys.allPermits(), s.keys.kept(), s.keys.waiting()}
}

// admitArgs returns the ARGV of admitLua.
func (s Permits) admitArgs(fn faas.FunctionName, all int) []any {
	now := s.now()
	return []any{string(fn), s.stamp(now), all, s.stamp(now.Add(waitingLife))}
}

// AcquirePermit acquires one of limit permits of a function, and one of all runners of all functions (0: no limit),
// until it is released or until ends. It returns false if there is none. The limits hold for all gateways together.
// Acquiring a permit again for the same ID renews it.
func (s Permits) AcquirePermit(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, limit, all int, until time.Time) (bool, error) {
	args := append(s.admitArgs(fn, all), string(id), limit, s.stamp(until), s.stamp(until.Add(permitsLife)))
	got, err := s.eval(ctx, acquireLua, append(s.admitKeys(), s.keys.permits(fn)), args...).Int()
	if err != nil {
		return false, fmt.Errorf("acquire a permit of %q for %s: %w", fn, id, s.translate(err))
	}
	return got == 1, nil
}

// RenewPermits renews permits. A permit that has ended is acquired again, even beyond the limit, because its job is
// running.
func (s Permits) RenewPermits(ctx context.Context, fn faas.FunctionName, ids []faas.InvocationID, until time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	score := float64(s.stamp(until))
	members, named := make([]redis.Z, len(ids)), make([]redis.Z, len(ids))
	for i, id := range ids {
		members[i] = redis.Z{Score: score, Member: string(id)}
		named[i] = redis.Z{Score: score, Member: string(fn) + " " + string(id)}
	}
	gone := time.UnixMilli(s.stamp(until.Add(permitsLife)))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, s.keys.permits(fn), members...)
		p.PExpireAt(ctx, s.keys.permits(fn), gone)
		p.ZAdd(ctx, s.keys.allPermits(), named...)
		p.PExpireAt(ctx, s.keys.allPermits(), gone)
		return nil
	})
	if err != nil {
		return fmt.Errorf("renew %d permits of %q: %w", len(ids), fn, s.translate(err))
	}
	return nil
}

// releasePermitLua releases a permit and publishes the release.
//
//	KEYS[1] permits of the function, KEYS[2] permits of all functions; ARGV[1] channel, ARGV[2] ID, ARGV[3] function
const releasePermitLua = `
redis.call('ZREM', KEYS[2], ARGV[3] .. ' ' .. ARGV[2])
if redis.call('ZREM', KEYS[1], ARGV[2]) == 1 then redis.call('PUBLISH', ARGV[1], 'place ' .. ARGV[3]) end
return 1
`

// ReleasePermit releases a permit and publishes the release. A permit that was not acquired is no error.
func (s Permits) ReleasePermit(ctx context.Context, fn faas.FunctionName, id faas.InvocationID) error {
	err := s.eval(ctx, releasePermitLua, []string{s.keys.permits(fn), s.keys.allPermits()}, s.keys.messages(), string(id), string(fn)).Err()
	if err != nil {
		return fmt.Errorf("release a permit of %q: %w", fn, s.translate(err))
	}
	return nil
}
