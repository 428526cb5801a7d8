package redisstore

import (
	"context"
	"fmt"

	"davit/internal/faas"
)

// bindLua ties an attempt to a runner, or unties it.
//
//	KEYS[1] invocation; ARGV[1] attempt, ARGV[2] runner, ARGV[3] the runner that it is tied to then: the same, or ""
//
// Answers "ok", "gone", or why not: "final", "cancelled", "attempt", "bound".
const bindLua = `
local c = redis.call('HMGET', KEYS[1], 's', 'a', 'b', 'c')
if not c[1] then return 'gone' end
if c[1] == 'succeeded' or c[1] == 'failed' or c[1] == 'cancelled' then return 'final' end
if c[2] ~= ARGV[1] then return 'attempt' end
if c[3] ~= '' and c[3] ~= ARGV[2] then return 'bound' end
if ARGV[3] ~= '' and c[4] == '1' then return 'cancelled' end
redis.call('HSET', KEYS[1], 'b', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'v', 1)
return 'ok'
`

// Bind ties an attempt to a runner, so that it is sent to no other; the same
// runner twice is fine. It is a Conflict when the invocation is final, to be
// cancelled, in another attempt, or bound to another runner in this one.
func (s Invocations) Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	if err := s.bind(ctx, id, attempt, runner, runner); err != nil {
		return fmt.Errorf("bind invocation %s to runner %q: %w", id, runner, err)
	}
	return nil
}

// Unbind undoes Bind, for a runner that is known not to run the attempt: the claim
// broke before its commit. It is a Conflict when Bind would be, a cancel aside.
func (s Invocations) Unbind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	if err := s.bind(ctx, id, attempt, runner, ""); err != nil {
		return fmt.Errorf("unbind invocation %s from runner %q: %w", id, runner, err)
	}
	return nil
}

func (s Invocations) bind(ctx context.Context, id faas.InvocationID, attempt int, runner, then faas.RunnerID) error {
	code, err := s.eval(ctx, bindLua, []string{s.keys.invocation(id)}, attempt, string(runner), string(then)).Text()
	switch {
	case err != nil:
		return s.fault(err)
	case code == "ok":
		return nil
	case code == "gone":
		return noInvocation(id)
	}
	return refused(code, nil)
}

// cancelLua marks an invocation and tells everybody.
//
//	KEYS[1] invocation; ARGV[1] channel, ARGV[2] id
const cancelLua = `
local c = redis.call('HMGET', KEYS[1], 's', 'c')
if c[1] == 'succeeded' or c[1] == 'failed' or c[1] == 'cancelled' then return 0 end
if c[1] and c[2] ~= '1' then
  redis.call('HSET', KEYS[1], 'c', '1')
  redis.call('HINCRBY', KEYS[1], 'v', 1)
end
redis.call('PUBLISH', ARGV[1], 'cancel ' .. ARGV[2])
return 1
`

// PublishCancel marks the record, if there is one, so that Bind refuses it from
// now on, and tells every gateway to cancel the invocation. A final one is left alone.
func (s Invocations) PublishCancel(ctx context.Context, id faas.InvocationID) error {
	if err := s.eval(ctx, cancelLua, []string{s.keys.invocation(id)}, s.keys.messages(), string(id)).Err(); err != nil {
		return fmt.Errorf("cancel invocation %s: %w", id, s.fault(err))
	}
	return nil
}
