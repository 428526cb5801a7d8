package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// The durable queue contains the accepted invocations that are not final. One gateway leads each entry until its lease
// ends; then any other gateway may take the entry.

// enqueueLua writes an invocation and its lease; see writeLua. ARGV[15] is the ms when the lease ends. The code is
// "ok", or the reason of the refusal.
const enqueueLua = writeLua + replyLua + `
local old = read(10, ARGV[4])
local why = refusal(old, 4)
if why then return reply(why) end
local message = write(10, 4, old)
redis.call('HSET', KEYS[10], 'o', ARGV[11])
redis.call('ZADD', KEYS[3], ARGV[15], ARGV[4])
if message then redis.call('PUBLISH', ARGV[1], message) end
return reply('ok')
`

// Enqueue writes the record, in any state that is not final, and adds it to the queue, atomically. The gateway that the
// record names leads the invocation until the given time. When Enqueue returns nil, every gateway can read the record.
// The error is Conflict if the stored record is final, of a later attempt, or led by another gateway.
func (s Invocations) Enqueue(ctx context.Context, inv *faas.Invocation, until time.Time) error {
	if inv.Inner == nil || inv.Inner.Gateway == "" || inv.State.Final() {
		return faas.Errorf(faas.Internal, "invocation %s cannot be queued: it is %s, or names no gateway", inv.ID, inv.State)
	}
	one := []*faas.Invocation{inv}
	args, err := s.writeArgs("", one)
	if err != nil {
		return err
	}
	code, rec, err := readReply(s.eval(ctx, enqueueLua, s.writeKeys(one), append(args, s.stamp(until))...).Slice())
	switch {
	case err != nil:
		return fmt.Errorf("queue invocation %s: %w", inv.ID, s.translate(err))
	case code != "ok":
		return fmt.Errorf("queue invocation %s: %w", inv.ID, refused(code, rec.invocation))
	}
	return nil
}

// leaseBatch is the number of entries that one script changes.
const leaseBatch = 128

// renewLua sets the end of leases.
//
//	KEYS[1] leases, KEYS[2]… invocations
//	ARGV[1] gateway, ARGV[2] ms when the leases end, ARGV[3] the gateway that leads afterwards, ARGV[4]… IDs
//
// Returns the IDs that the gateway does not lead.
const renewLua = `
local lost = {}
for i = 4, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) and redis.call('HGET', KEYS[i - 2], 'o') == ARGV[1] then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[i])
    if ARGV[3] ~= ARGV[1] then redis.call('HSET', KEYS[i - 2], 'o', ARGV[3]) end
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
`

// Renew renews the leases of the entries that the gateway leads, until the given time. It returns the IDs of all other
// entries: these are final, led by another gateway, or lost by Redis.
func (s Invocations) Renew(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID, until time.Time) (lost []faas.InvocationID, err error) {
	lost, err = s.setLeases(ctx, gateway, gateway, ids, s.stamp(until))
	if err != nil {
		return nil, fmt.Errorf("renew %d leases: %w", len(ids), err)
	}
	return lost, nil
}

// ReleaseLeases ends the leases of the entries that the gateway leads, so that any gateway can take them at once.
func (s Invocations) ReleaseLeases(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID) error {
	if _, err := s.setLeases(ctx, gateway, "", ids, 0); err != nil {
		return fmt.Errorf("release %d leases: %w", len(ids), err)
	}
	return nil
}

func (s Invocations) setLeases(ctx context.Context, gateway, next faas.GatewayID, ids []faas.InvocationID, until int64) (lost []faas.InvocationID, err error) {
	for part := range slices.Chunk(ids, leaseBatch) {
		keys, args := []string{s.keys.leases()}, []any{string(gateway), until, string(next)}
		for _, id := range part {
			keys, args = append(keys, s.keys.invocation(id)), append(args, string(id))
		}
		texts, err := s.eval(ctx, renewLua, keys, args...).StringSlice()
		if err != nil {
			return nil, s.translate(err)
		}
		for _, text := range texts {
			lost = append(lost, faas.InvocationID(text))
		}
	}
	return lost, nil
}

// takeLua takes entries whose lease has ended.
//
//	KEYS[1] leases, KEYS[2]… invocations
//	ARGV[1] gateway, ARGV[2] ms now, ARGV[3] ms when the new leases end, ARGV[4] request, ARGV[5]… IDs
//
// Returns the columns of each taken entry, in the order of columns. Entries that the same request took before are
// returned again, because its answer may have been lost. Entries without a record are deleted.
const takeLua = `
local taken = {}
for i = 5, #ARGV do
  local k = i - 3
  local ends, by = redis.call('ZSCORE', KEYS[1], ARGV[i]), redis.call('HGET', KEYS[k], 'q')
  local over = ends and tonumber(ends) <= tonumber(ARGV[2])
  if over and redis.call('EXISTS', KEYS[k]) == 0 then
    redis.call('ZREM', KEYS[1], ARGV[i])
  elseif over or ends and by == ARGV[4] then
    redis.call('HSET', KEYS[k], 'o', ARGV[1], 'q', ARGV[4])
    redis.call('HINCRBY', KEYS[k], 'v', 1)
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[i])
    local c = redis.call('HMGET', KEYS[k], 'r', 's', 'v', 'b', 'c', 'o')
    taken[#taken + 1] = {c[1] or '', c[2] or '', c[3] or '', c[4] or '', c[5] or '', c[6] or ''}
  end
end
return taken
`

// TakeExpired makes the gateway the leader of at most limit entries whose lease has ended, the longest ago first, and
// returns them. Only one gateway takes an entry. From then on writes in the name of the former leader are refused.
func (s Invocations) TakeExpired(ctx context.Context, gateway faas.GatewayID, now, until time.Time, limit int) ([]*faas.Invocation, error) {
	if !until.After(now) {
		return nil, faas.Errorf(faas.Internal, "a taken lease must end in the future")
	}
	var taken []*faas.Invocation
	for len(taken) < limit {
		want := min(leaseBatch, limit-len(taken))
		over := redis.ZRangeArgs{Key: s.keys.leases(), ByScore: true, Start: "-inf", Stop: s.stamp(now), Count: int64(want)}
		ids, err := s.client.ZRangeArgs(ctx, over).Result()
		if err != nil {
			return taken, fmt.Errorf("take entries of the queue: %w", s.translate(err))
		}
		if len(ids) == 0 {
			break
		}
		some, err := s.take(ctx, gateway, s.stamp(now), s.stamp(until), ids)
		if err != nil {
			return taken, fmt.Errorf("take entries of the queue: %w", err)
		}
		taken = append(taken, some...)
	}
	return taken, nil
}

func (s Invocations) take(ctx context.Context, gateway faas.GatewayID, now, until int64, ids []string) ([]*faas.Invocation, error) {
	keys, args := []string{s.keys.leases()}, []any{string(gateway), now, until, rand.Text()}
	for _, id := range ids {
		keys, args = append(keys, s.keys.invocation(faas.InvocationID(id))), append(args, id)
	}
	rows, err := s.eval(ctx, takeLua, keys, args...).Slice()
	if err != nil {
		return nil, s.translate(err)
	}
	taken := make([]*faas.Invocation, 0, len(rows))
	for _, row := range rows {
		values, _ := row.([]any)
		rec, ok, err := readRecord(values)
		if err != nil || !ok {
			return nil, errReply(row)
		}
		taken = append(taken, rec.invocation)
	}
	return taken, nil
}
