package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/gateway/faas"
)

// acquireLua takes a place.
//
//	KEYS[1] places; ARGV[1] id, ARGV[2] how many there are, ARGV[3] ms now, ARGV[4] ms when it lapses,
//	ARGV[5] ms when the key may go
//
// Answers 1, or 0 when all are taken.
const acquireLua = `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[5])
return 1
`

// placesLife is for how long the places of a function outlive the last that was
// taken or renewed: longer than any lease.
const placesLife = time.Hour

// AcquirePlace takes one of most places among a function's running jobs, all
// gateways together, until it is released or lapses. The same id twice takes one
// place and prolongs it.
func (s *Store) AcquirePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most int, until time.Time) (bool, error) {
	got, err := s.eval(ctx, acquireLua, []string{s.keys.places(fn)},
		string(id), most, s.stamp(s.now()), s.stamp(until), s.stamp(until.Add(placesLife))).Int()
	if err != nil {
		return false, fmt.Errorf("take a place of %q for %s: %w", fn, id, s.fault(err))
	}
	return got == 1, nil
}

// RenewPlaces prolongs places. One that has lapsed is taken again, beyond the
// bound if need be, since its job does run.
func (s *Store) RenewPlaces(ctx context.Context, fn faas.FunctionName, ids []faas.InvocationID, until time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	members := make([]redis.Z, len(ids))
	for i, id := range ids {
		members[i] = redis.Z{Score: float64(s.stamp(until)), Member: string(id)}
	}
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, s.keys.places(fn), members...)
		p.PExpireAt(ctx, s.keys.places(fn), time.UnixMilli(s.stamp(until.Add(placesLife))))
		return nil
	})
	if err != nil {
		return fmt.Errorf("renew %d places of %q: %w", len(ids), fn, s.fault(err))
	}
	return nil
}

// releasePlaceLua gives a place back and tells those who wait for one.
//
//	KEYS[1] places; ARGV[1] channel, ARGV[2] id, ARGV[3] function
const releasePlaceLua = `
if redis.call('ZREM', KEYS[1], ARGV[2]) == 1 then redis.call('PUBLISH', ARGV[1], 'place ' .. ARGV[3]) end
return 1
`

// ReleasePlace gives a place back and tells everybody. One that is not held is fine.
func (s *Store) ReleasePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID) error {
	err := s.eval(ctx, releasePlaceLua, []string{s.keys.places(fn)}, s.keys.messages(), string(id), string(fn)).Err()
	if err != nil {
		return fmt.Errorf("give back a place of %q: %w", fn, s.fault(err))
	}
	return nil
}
