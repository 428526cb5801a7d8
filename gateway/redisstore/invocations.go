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

// saveLua writes many invocations; see writeLua. It passes over those that are
// refused, and those that would fall behind in the same attempt.
const saveLua = writeLua + `
local news = {}
for i = 1, tonumber(ARGV[3]) do
  local k, a = 7 + 3 * i, 11 * i - 7
  local was = read(k, ARGV[a])
  local behind = was.state and was.attempt == tonumber(ARGV[a + 4]) and rank[ARGV[a + 3]] < rank[was.state]
  if not refusal(was, a) and not behind then news[#news + 1] = write(k, a, was) end
end
if #news > 0 then redis.call('PUBLISH', ARGV[1], table.concat(news, '\n')) end
return 1
`

// saveBatch is how many records one script writes: few enough to keep others waiting for about a millisecond only.
const saveBatch = 32

// SaveInvocations creates or updates records. It passes silently over a record
// that is final already, of a later attempt, further on in the same attempt, or
// queued and led by another gateway than the one that the record names. A final
// record leaves the queue. With an error, some may be written and some not.
func (s Invocations) SaveInvocations(ctx context.Context, invs []*faas.Invocation) error {
	for part := range slices.Chunk(invs, saveBatch) {
		args, err := s.writeArgs("", part)
		if err != nil {
			return err
		}
		if err := s.eval(ctx, saveLua, s.writeKeys(part), args...).Err(); err != nil {
			return fmt.Errorf("save %d invocations: %w", len(invs), s.fault(err))
		}
	}
	return nil
}

// replyLua ends a script about one invocation: its code and the columns, in the order of columns.
const replyLua = `
local function reply(code)
  local c = redis.call('HMGET', KEYS[10], 'r', 's', 'v', 'b', 'c', 'o')
  return {code, c[1] or '', c[2] or '', c[3] or '', c[4] or '', c[5] or '', c[6] or ''}
end
`

// readReply takes reply apart.
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

// settleLua makes one invocation final; see writeLua. ARGV[2] tells a request that is sent again from another.
// Its code is "ok", or why it was refused.
const settleLua = writeLua + replyLua + `
local was = read(10, ARGV[4])
local why = refusal(was, 4)
if why == 'final' and done(was) then return reply('ok') end
if why then return reply(why) end
local news = write(10, 4, was)
remember(10, was)
redis.call('PUBLISH', ARGV[1], news)
return reply('ok')
`

// Settle makes an invocation final, takes it out of the queue and tells everybody.
// Of any number of calls for one id, applied is true for one. For the others
// settled is what stands. It is a Conflict, with the record as it stands, when a
// later attempt is under way, or when the invocation is queued and led by another
// gateway than inv names; a record that names none settles whoever leads.
func (s Invocations) Settle(ctx context.Context, inv *faas.Invocation) (settled *faas.Invocation, applied bool, err error) {
	if !inv.State.Final() {
		return nil, false, faas.Errorf(faas.Internal, "The invocation %s is %s; only a final one can be settled", inv.ID, inv.State)
	}
	one := []*faas.Invocation{inv}
	args, err := s.writeArgs(rand.Text(), one)
	if err != nil {
		return nil, false, err
	}
	code, rec, err := readReply(s.eval(ctx, settleLua, s.writeKeys(one), args...).Slice())
	if err != nil {
		return nil, false, fmt.Errorf("settle invocation %s: %w", inv.ID, s.fault(err))
	}
	switch code {
	case "ok":
		return rec.invocation, true, nil
	case "final":
		return rec.invocation, false, nil
	}
	return nil, false, fmt.Errorf("settle invocation %s: %w", inv.ID, refused(code, rec.invocation))
}

// refused is the error for a code that writeLua's refusal gave.
func refused(code string, now *faas.Invocation) error {
	detail := map[string]string{
		"final":     "The invocation is over",
		"late":      "A later attempt is under way",
		"stale":     "Another gateway leads the invocation",
		"attempt":   "Another attempt is under way",
		"bound":     "The invocation is bound to another runner",
		"cancelled": "The invocation is to be cancelled",
	}[code]
	if detail == "" {
		return errReply(code)
	}
	return &faas.Error{Kind: faas.Conflict, Detail: detail, Invocation: now}
}

// updateLua writes one invocation if nobody has written it since it was read; see writeLua. ARGV[2] tells
// a request that is sent again from another; ARGV[15] is the version that was read. Its code is "ok", "gone" or "changed".
const updateLua = writeLua + replyLua + `
local was = read(10, ARGV[4])
if not was.state then return reply('gone') end
if done(was) then return reply('ok') end
if was.version ~= ARGV[15] then return reply('changed') end
local news = write(10, 4, was)
remember(10, was)
if news then redis.call('PUBLISH', ARGV[1], news) end
return reply('ok')
`

// UpdateInvocation changes one record and returns it as it is then. change sees a
// copy, with who leads it and what it is bound to now, and may be called several
// times, when others write meanwhile; its error ends the update. Id, function and trigger stay as they are. A later attempt
// begins bound to no runner. An invocation becomes final by Settle or
// SaveInvocations only, and once it is, its state, reason, exit code, signal,
// attempt and end stay: a change of them is a Conflict.
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
			return nil, fmt.Errorf("update invocation %s: %w", id, s.fault(err))
		case code == "ok":
			return rec.invocation, nil
		case code == "gone":
			return nil, noInvocation(id)
		}
	}
}

// checkChange refuses what UpdateInvocation must not do, and mends what it does not do.
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
		return faas.Errorf(faas.Internal, "An invocation is made final by settling it, not by an update")
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
		return stored{}, s.fault(err)
	}
	rec, ok, err := readRecord(values)
	if err == nil && !ok {
		err = noInvocation(id)
	}
	return rec, err
}

func noInvocation(id faas.InvocationID) error {
	return faas.Errorf(faas.NotFound, "There is no invocation %s, or no longer", id)
}

// ExpiredInvocations returns at most so many final records whose retention is
// over, those that were due first in front, for the sweeper: it deletes what the
// store holds of each and then calls DeleteInvocation. Where the record is gone
// already, only its ID is set.
func (s Invocations) ExpiredInvocations(ctx context.Context, now time.Time, most int) ([]*faas.Invocation, error) {
	due := redis.ZRangeArgs{Key: s.keys.expiry(), ByScore: true, Start: "-inf", Stop: s.stamp(now), Count: int64(most)}
	ids, err := s.client.ZRangeArgs(ctx, due).Result()
	if err != nil {
		return nil, fmt.Errorf("list expired invocations: %w", s.fault(err))
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

// deleteLua deletes a final invocation, and notes when it is to be told as expired again.
//
//	KEYS[1] invocation, KEYS[2] invocations, KEYS[3] expiry, KEYS[4] byFunction, KEYS[5] byTrigger, KEYS[6] byState; ARGV[1] id, ARGV[2] state, ARGV[3] ms or ""
//
// Answers 1, or 0 when it has another state.
const deleteLua = `
local state = redis.call('HGET', KEYS[1], 's')
if state and state ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, 6 do redis.call('ZREM', KEYS[i], ARGV[1]) end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1]) end
return 1
`

// DeleteInvocation deletes a final record. One that is not there is fine; one that is not final is a Conflict.
// With again, ExpiredInvocations gives the ID once more from that time on, until it is deleted again.
func (s Invocations) DeleteInvocation(ctx context.Context, id faas.InvocationID, again time.Time) error {
	values, err := s.client.HMGet(ctx, s.keys.invocation(id), "f", "t", "s").Result()
	if err != nil {
		return fmt.Errorf("delete invocation %s: %w", id, s.fault(err))
	}
	var text [3]string
	for i, v := range values {
		text[i], _ = v.(string)
	}
	fn, trigger, state := faas.FunctionName(text[0]), faas.TriggerName(text[1]), faas.State(text[2])
	if state != "" && !state.Final() {
		return faas.Errorf(faas.Conflict, "The invocation %s is %s; only a final one can be deleted", id, state)
	}
	keys := []string{
		s.keys.invocation(id), s.keys.invocations(), s.keys.expiry(), s.keys.byFunction(fn), s.keys.byTrigger(trigger), s.keys.byState(state),
	}
	due := ""
	if !again.IsZero() {
		due = strconv.FormatInt(s.stamp(again), 10)
	}
	done, err := s.eval(ctx, deleteLua, keys, string(id), string(state), due).Int()
	if err != nil {
		return fmt.Errorf("delete invocation %s: %w", id, s.fault(err))
	}
	if done == 0 {
		return faas.Errorf(faas.Conflict, "The invocation %s was just written", id)
	}
	return nil
}
