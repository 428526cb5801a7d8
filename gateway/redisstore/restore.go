package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// restoreFunctionLua adds a function, or its revisions that are missing.
//
//	KEYS[4] function, KEYS[5] revisions, KEYS[6] functions
//	ARGV[4] name, ARGV[5] live, ARGV[6] created, ARGV[7] updated, ARGV[8] first, ARGV[9] latest,
//	ARGV[10]… of each revision: number, state, JSON
//
// Returns "ok" if it changed something, else "same".
const restoreFunctionLua = registryLua + `
local name, updated = ARGV[4], redis.call('HGET', KEYS[4], 'updated')
local modified = false
for i = 10, #ARGV, 3 do
  local state = redis.call('HGET', KEYS[5], ARGV[i] .. ':state')
  if not state or state == 'building' and ARGV[i + 1] ~= 'building' then
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 2], ARGV[i] .. ':state', ARGV[i + 1])
    modified = true
  end
end
if not updated then
  redis.call('HSET', KEYS[4], 'live', ARGV[5], 'created', ARGV[6], 'updated', ARGV[7], 'first', ARGV[8], 'latest', ARGV[9])
  redis.call('ZADD', KEYS[6], 0, name)
  modified = true
else
  if tonumber(ARGV[8]) < tonumber(redis.call('HGET', KEYS[4], 'first')) then redis.call('HSET', KEYS[4], 'first', ARGV[8]) end
  if tonumber(ARGV[9]) > tonumber(redis.call('HGET', KEYS[4], 'latest')) then redis.call('HSET', KEYS[4], 'latest', ARGV[9]) end
  if updated < ARGV[7] then
    redis.call('HSET', KEYS[4], 'live', ARGV[5], 'updated', ARGV[7])
    modified = true
  end
end
if not modified then return 'same' end
changed('f:' .. name)
return 'ok'
`

// restoreDeletedLua restores the last revision numbers of deleted functions.
//
//	KEYS[1] deletedFunctions; ARGV pairs of name and number
const restoreDeletedLua = `
for i = 1, #ARGV, 2 do
  local number = redis.call('HGET', KEYS[1], ARGV[i])
  if not number or tonumber(number) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 1
`

// openLua opens the registry.
//
//	KEYS[1] version; ARGV[1] channel, ARGV[2] microseconds now
//
// The version starts at the time, so that it is higher than any version before the registry was lost, and a gateway
// with an old version reads a Snapshot. Lua's numbers are exact up to 2^53, which microseconds reach in the year 2255.
const openLua = `
if redis.call('SETNX', KEYS[1], ARGV[2]) == 1 then redis.call('PUBLISH', ARGV[1], 'registry ' .. ARGV[2]) end
return 1
`

// Restore adds the registrations that Redis lost and opens the registry. A new Redis needs it too, once, with an empty
// Snapshot. Restore does not change registrations that are as new or newer, so that it may run while the registry is in
// use, on several gateways at once, and again after an error. It logs and skips a trigger whose function is missing or
// whose endpoints belong to another trigger.
func (s Registry) Restore(ctx context.Context, all *faas.Snapshot) error {
	for _, step := range []func() error{
		func() error { return s.restoreDeleted(ctx, all.Deleted) },
		func() error { return s.restoreFunctions(ctx, all) },
		func() error { return s.restoreTriggers(ctx, all.Triggers) },
		func() error {
			return s.translate(s.eval(ctx, openLua, []string{s.keys.version()}, s.keys.messages(), s.stamp(s.now())*1000).Err())
		},
	} {
		if err := step(); err != nil {
			return fmt.Errorf("restore registrations: %w", err)
		}
	}
	return nil
}

// restoreBatch is the number of scripts in one pipeline.
const restoreBatch = 256

func (s Registry) restoreDeleted(ctx context.Context, deleted map[faas.FunctionName]faas.RevisionNumber) error {
	if len(deleted) == 0 {
		return nil
	}
	args := make([]any, 0, 2*len(deleted))
	for name, number := range deleted {
		args = append(args, string(name), int(number))
	}
	for batch := range slices.Chunk(args, 2*restoreBatch) {
		if err := s.eval(ctx, restoreDeletedLua, []string{s.keys.deletedFunctions()}, batch...).Err(); err != nil {
			return s.translate(err)
		}
	}
	return nil
}

func (s Registry) restoreFunctions(ctx context.Context, all *faas.Snapshot) error {
	revisions := map[faas.FunctionName][]*faas.Revision{}
	for _, rev := range all.Revisions {
		revisions[rev.Function] = append(revisions[rev.Function], rev)
	}
	calls := make([]call, 0, len(all.Functions))
	for _, f := range all.Functions {
		c, err := s.restoreCall(f, revisions[f.Name])
		if err != nil {
			return err
		}
		calls = append(calls, c)
	}
	for batch := range slices.Chunk(calls, restoreBatch) {
		if _, err := s.evalAll(ctx, restoreFunctionLua, batch); err != nil {
			return s.translate(err)
		}
	}
	return nil
}

func (s Registry) restoreCall(f *faas.Function, revisions []*faas.Revision) (call, error) {
	first, latest := f.Latest, f.Latest
	var records []any
	for _, rev := range revisions {
		first, latest = min(first, rev.Number), max(latest, rev.Number)
		record, err := json.Marshal(rev)
		if err != nil {
			return call{}, fmt.Errorf("encode revision %s: %w", rev.Ref(), err)
		}
		records = append(records, int(rev.Number), string(rev.State), record)
	}
	args := append([]any{
		string(f.Name), int(f.Live), formatTime(f.CreatedAt), formatTime(f.UpdatedAt), int(first), int(latest),
	}, records...)
	keys := []string{s.keys.function(f.Name), s.keys.revisions(f.Name), s.keys.functions()}
	return s.changeCall(restoring, restoring, keys, args), nil
}

func (s Registry) restoreTriggers(ctx context.Context, triggers []*faas.Trigger) error {
	for batch := range slices.Chunk(triggers, restoreBatch) {
		calls := make([]call, len(batch))
		for i, t := range batch {
			endpoints, err := s.endpointsOf(t)
			if err != nil {
				return fmt.Errorf("restore trigger %q: %w", t.Name, err)
			}
			keys, args, err := s.triggerArguments(t, endpoints)
			if err != nil {
				return err
			}
			calls[i] = s.changeCall(restoring, restoring, keys, args)
		}
		cmds, err := s.evalAll(ctx, saveTriggerLua, calls)
		if err != nil {
			return s.translate(err)
		}
		s.logSkipped(batch, cmds)
	}
	return nil
}

func (s Registry) logSkipped(triggers []*faas.Trigger, cmds []*redis.Cmd) {
	for i, cmd := range cmds {
		line, _ := cmd.Text()
		if a := readAnswer(line); a.code == "missing" || a.code == "taken" {
			s.log.Warn("skipped a trigger that cannot be restored", "trigger", string(triggers[i].Name), "why", line)
		}
	}
}
