package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// saveLua writes many invocations; see writeLua. It skips an invocation whose write is refused, or whose state would go
// back in the same attempt.
const saveLua = writeLua + `
local messages = {}
for i = 1, tonumber(ARGV[3]) do
  local k, a = 7 + 3 * i, 11 * i - 7
  local old = read(k, ARGV[a])
  local behind = old.state and old.attempt == tonumber(ARGV[a + 4]) and rank[ARGV[a + 3]] < rank[old.state]
  if not refusal(old, a) and not behind then messages[#messages + 1] = write(k, a, old) end
end
if #messages > 0 then redis.call('PUBLISH', ARGV[1], table.concat(messages, '\n')) end
return 1
`

// saveBatch is the number of records that one script writes. The script blocks other commands for about a millisecond.
const saveBatch = 32

// SaveInvocations creates or updates records. It silently skips a record if the stored one is final, of a later
// attempt, in a later state of the same attempt, or queued and led by another gateway than the record names. A final
// record leaves the queue. After an error some records may be written and others not.
func (s Invocations) SaveInvocations(ctx context.Context, invs []*faas.Invocation) error {
	for part := range slices.Chunk(invs, saveBatch) {
		args, err := s.writeArgs("", part)
		if err != nil {
			return err
		}
		if err := s.eval(ctx, saveLua, s.writeKeys(part), args...).Err(); err != nil {
			return fmt.Errorf("save %d invocations: %w", len(invs), s.translate(err))
		}
	}
	return nil
}

// replyLua returns from a script about one invocation a code and the columns of the record, in the order of columns.
const replyLua = `
local function reply(code)
  local c = redis.call('HMGET', KEYS[10], 'r', 's', 'v', 'b', 'c', 'o')
  return {code, c[1] or '', c[2] or '', c[3] or '', c[4] or '', c[5] or '', c[6] or ''}
end
`

// readReply parses the answer of reply.
func readReply(parts []any, err error) (code string, rec stored, _ error) {
	if err != nil {
		return "", stored{}, err
	}
	if len(parts) == 0 {
		return "", stored{}, errReply(parts)
	}
	code, _ = parts[0].(string)
	rec, _, err = readRecord(parts[1:])
	return code, rec, err
}

// settleLua makes one invocation final; see writeLua. ARGV[2] distinguishes a repeated request from another one. The
// code is "ok", or the reason of the refusal.
const settleLua = writeLua + replyLua + `
local old = read(10, ARGV[4])
local why = refusal(old, 4)
if why == 'final' and done(old) then return reply('ok') end
if why then return reply(why) end
local message = write(10, 4, old)
remember(10, old)
redis.call('PUBLISH', ARGV[1], message)
return reply('ok')
`

// Settle makes an invocation final, removes it from the queue and publishes its state. Of all calls for one ID, exactly
// one returns applied; every call returns the final record. The error is Conflict, and contains the stored record, if a
// later attempt is in progress, or if the invocation is queued and led by another gateway than inv names. If inv names
// no gateway, any gateway may lead.
func (s Invocations) Settle(ctx context.Context, inv *faas.Invocation) (settled *faas.Invocation, applied bool, err error) {
	if !inv.State.Final() {
		return nil, false, faas.Errorf(faas.Internal, "invocation %s is %s; only a final one can be settled", inv.ID, inv.State)
	}
	one := []*faas.Invocation{inv}
	args, err := s.writeArgs(rand.Text(), one)
	if err != nil {
		return nil, false, err
	}
	code, rec, err := readReply(s.eval(ctx, settleLua, s.writeKeys(one), args...).Slice())
	if err != nil {
		return nil, false, fmt.Errorf("settle invocation %s: %w", inv.ID, s.translate(err))
	}
	switch code {
	case "ok":
		return rec.invocation, true, nil
	case "final":
		return rec.invocation, false, nil
	}
	return nil, false, fmt.Errorf("settle invocation %s: %w", inv.ID, refused(code, rec.invocation))
}

// refused returns the error for the code of a refusal; now is the stored record, or nil.
func refused(code string, now *faas.Invocation) error {
	detail := map[string]string{
		"final":     "the invocation is over",
		"late":      "a later attempt is under way",
		"stale":     "another gateway leads the invocation",
		"attempt":   "another attempt is under way",
		"bound":     "the invocation is bound to another runner",
		"cancelled": "the invocation is to be cancelled",
	}[code]
	if detail == "" {
		return errReply(code)
	}
	return &faas.Error{Kind: faas.Conflict, Detail: detail, Invocation: now}
}

// updateLua writes one invocation if it was not written since it was read; see writeLua. ARGV[2] distinguishes a
// repeated request from another one; ARGV[15] is the version that was read. The code is "ok", "gone" or "changed".
const updateLua = writeLua + replyLua + `
local old = read(10, ARGV[4])
if not old.state then return reply('gone') end
if done(old) then return reply('ok') end
if old.version ~= ARGV[15] then return reply('changed') end
local message = write(10, 4, old)
remember(10, old)
if message then redis.call('PUBLISH', ARGV[1], message) end
return reply('ok')
`

// UpdateInvocation changes one record and returns the result. change gets a copy of the stored record, with its current
// gateway and runner. It is called again if another write came in between. An error of change ends the update. ID,
// function and trigger cannot change. A later attempt starts without a runner. Only Settle and SaveInvocations make an
// invocation final. A change of the state, reason, exit code, signal, attempt or end of a final record is a Conflict.
func (s Invocations) UpdateInvocation(ctx context.Context, id faas.InvocationID, change func(*faas.Invocation) error) (*faas.Invocation, error) {
	for {
		before, err := s.find(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("update invocation %s: %w", id, err)
		}
		after := before.invocation.Clone()
		if err := change(after); err != nil {
			return nil, err
		}
		if err := checkChange(before.invocation, after); err != nil {
			return nil, fmt.Errorf("update invocation %s: %w", id, err)
		}
		one := []*faas.Invocation{after}
		args, err := s.writeArgs(rand.Text(), one)
		if err != nil {
			return nil, err
		}
		code, rec, err := readReply(s.eval(ctx, updateLua, s.writeKeys(one), append(args, before.version)...).Slice())
		switch {
		case err != nil:
			return nil, fmt.Errorf("update invocation %s: %w", id, s.translate(err))
		case code == "ok":
			return rec.invocation, nil
		case code == "gone":
			return nil, noInvocation(id)
		}
	}
}

// checkChange returns the error of a change that UpdateInvocation refuses, and undoes changes of fields that it keeps.
func checkChange(before, after *faas.Invocation) error {
	after.ID, after.Function, after.Trigger = before.ID, before.Function, before.Trigger
	if after.Attempt < before.Attempt {
		return refused("late", before)
	}
	if after.Attempt > before.Attempt && after.Inner != nil && before.Inner != nil && after.Inner.Runner == before.Inner.Runner {
		after.Inner.Runner = ""
	}
	switch {
	case before.State.Final() && !sameEnd(before, after):
		return refused("final", before)
	case !before.State.Final() && after.State.Final():
		return faas.Errorf(faas.Internal, "an update cannot make an invocation final; settle it")
	}
	return nil
}

func sameEnd(a, b *faas.Invocation) bool {
	return a.State == b.State && a.Attempt == b.Attempt && same(a.Reason, b.Reason) && same(a.ExitCode, b.ExitCode) &&
		same(a.Signal, b.Signal) && (a.EndedAt == nil) == (b.EndedAt == nil) && (a.EndedAt == nil || a.EndedAt.Equal(*b.EndedAt))
}

func same[T comparable](a, b *T) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// FindInvocation returns the record or a NotFound error.
func (s Invocations) FindInvocation(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	rec, err := s.find(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find invocation %s: %w", id, err)
	}
	return rec.invocation, nil
}

func (s Invocations) find(ctx context.Context, id faas.InvocationID) (stored, error) {
	values, err := s.client.HMGet(ctx, s.keys.invocation(id), columns()...).Result()
	if err != nil {
		return stored{}, s.translate(err)
	}
	rec, ok, err := readRecord(values)
	if err == nil && !ok {
		err = noInvocation(id)
	}
	return rec, err
}

func noInvocation(id faas.InvocationID) error {
	return faas.Errorf(faas.NotFound, "there is no invocation %s; it may have expired", id)
}

// ExpiredInvocations returns at most limit final records whose retention has ended, the longest ago first. The caller
// deletes their objects and then calls DeleteInvocation. If Redis has dropped a record, only its ID is set.
func (s Invocations) ExpiredInvocations(ctx context.Context, now time.Time, limit int) ([]*faas.Invocation, error) {
	due := redis.ZRangeArgs{Key: s.keys.expiry(), ByScore: true, Start: "-inf", Stop: s.stamp(now), Count: int64(limit)}
	ids, err := s.client.ZRangeArgs(ctx, due).Result()
	if err != nil {
		return nil, fmt.Errorf("list expired invocations: %w", s.translate(err))
	}
	found, err := s.load(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("list expired invocations: %w", err)
	}
	for i, inv := range found {
		if inv == nil {
			found[i] = &faas.Invocation{ID: faas.InvocationID(ids[i])}
		}
	}
	return found, nil
}

// deleteLua deletes a final invocation, and schedules when ExpiredInvocations returns it again.
//
//	KEYS[1] invocation, KEYS[2] invocations, KEYS[3] expiry, KEYS[4] byFunction, KEYS[5] byTrigger, KEYS[6]… byState of all states
//	ARGV[1] id, ARGV[2] state, ARGV[3] ms or ""
//
// Returns 1, or 0 if the invocation has another state.
const deleteLua = `
local state = redis.call('HGET', KEYS[1], 's')
if state and state ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1]) end
return 1
`

// DeleteInvocation deletes a final record. A missing record is no error; a record that is not final is a Conflict. If
// again is not zero, ExpiredInvocations returns the ID once more from that time on, until it is deleted again.
//
// The function and trigger of a record that Redis dropped are not known; the ID stays in their indexes until a list
// reads it there.
func (s Invocations) DeleteInvocation(ctx context.Context, id faas.InvocationID, again time.Time) error {
	values, err := s.client.HMGet(ctx, s.keys.invocation(id), "f", "t", "s").Result()
	if err != nil {
		return fmt.Errorf("delete invocation %s: %w", id, s.translate(err))
	}
	var text [3]string
	for i, v := range values {
		text[i], _ = v.(string)
	}
	fn, trigger, state := faas.FunctionName(text[0]), faas.TriggerName(text[1]), faas.State(text[2])
	if state != "" && !state.Final() {
		return faas.Errorf(faas.Conflict, "invocation %s is %s; only a final one can be deleted", id, state)
	}
	keys := append([]string{
		s.keys.invocation(id), s.keys.invocations(), s.keys.expiry(), s.keys.byFunction(fn), s.keys.byTrigger(trigger),
	}, s.stateKeys()...)
	due := ""
	if !again.IsZero() {
		due = strconv.FormatInt(s.stamp(again), 10)
	}
	done, err := s.eval(ctx, deleteLua, keys, string(id), string(state), due).Int()
	if err != nil {
		return fmt.Errorf("delete invocation %s: %w", id, s.translate(err))
	}
	if done == 0 {
		return faas.Errorf(faas.Conflict, "invocation %s was just written", id)
	}
	return nil
}
