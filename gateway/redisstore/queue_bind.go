package redisstore

import (
	"context"
	"fmt"

	"davit/internal/faas"
)

// bindLua binds an attempt to a runner, or unbinds it.
//
//	KEYS[1] invocation; ARGV[1] attempt, ARGV[2] runner, ARGV[3] the runner after the change: the same, or ""
//
// Returns "ok", "gone", or the reason of a refusal: "final", "cancelled", "attempt", "bound".
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

// Bind binds an attempt to a runner, so that the attempt is sent to no other runner. Binding it again to the same
// runner is no error. The error is Conflict if the invocation is final, is to be cancelled, is in another attempt, or
// is bound to another runner.
func (s Invocations) Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	if err := s.bind(ctx, id, attempt, runner, runner); err != nil {
		return fmt.Errorf("bind invocation %s to runner %q: %w", id, runner, err)
	}
	return nil
}

// Unbind undoes Bind, for a runner that does not run the attempt because the claim broke before its commit. The error
// is Conflict in the same cases as for Bind, except for an invocation that is to be cancelled.
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
		return s.translate(err)
	case code == "ok":
		return nil
	case code == "gone":
		return noInvocation(id)
	}
	return refused(code, nil)
}

// cancelLua marks an invocation as to be cancelled, and publishes the cancellation.
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

// PublishCancel marks the record, if there is one, so that Bind refuses it, and sends every gateway the message to
// cancel the invocation. It does nothing if the record is final.
func (s Invocations) PublishCancel(ctx context.Context, id faas.InvocationID) error {
	if err := s.eval(ctx, cancelLua, []string{s.keys.invocation(id)}, s.keys.messages(), string(id)).Err(); err != nil {
		return fmt.Errorf("cancel invocation %s: %w", id, s.translate(err))
	}
	return nil
}
