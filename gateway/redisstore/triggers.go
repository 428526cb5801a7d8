package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// releaseLua removes a trigger from all keys except its record.
//
//	KEYS[5] triggers, KEYS[6] triggerNames, KEYS[7] triggerEndpoints, KEYS[8] triggerHoldings, KEYS[9] triggersByFunction
const releaseLua = registryLua + `
local function release(name)
  local entry = redis.call('HGET', KEYS[8], name)
  if not entry then return end
  local owner
  for line in string.gmatch(entry, '[^\n]+') do
    if owner then
      redis.call('HDEL', KEYS[7], line)
    else
      owner = line
    end
  end
  redis.call('HDEL', KEYS[8], name)
  redis.call('ZREM', KEYS[6], name)
  redis.call('ZREM', KEYS[9], owner .. '/' .. name)
end
`

// saveTriggerLua creates or replaces a trigger.
//
//	KEYS[4] function, KEYS[5] to KEYS[9] as in releaseLua
//	ARGV[4] name, ARGV[5] function, ARGV[6] JSON, ARGV[7] created, ARGV[8] updated, ARGV[9]… endpoints
//
// Returns "ok CREATED VERSION CREATED_AT"; "missing" if the function does not exist; "taken NAME METHOD PATTERN" if
// another trigger has a endpoint; "newer" if a Restore found a newer trigger.
const saveTriggerLua = releaseLua + `
if redis.call('EXISTS', KEYS[4]) == 0 then return 'missing' end
local name, at = ARGV[4], ARGV[7]
for i = 9, #ARGV do
  local owner = redis.call('HGET', KEYS[7], ARGV[i])
  if owner and owner ~= name then return 'taken ' .. owner .. ' ' .. ARGV[i] end
end
local old = redis.call('HGET', KEYS[5], name)
local created = 1
if old then
  created = 0
  local before, updated = string.match(old, '^(%S+) (%S+)\n')
  if restoring and updated >= ARGV[8] then return 'newer' end
  if not restoring then at = before end
end
release(name)
local entry = ARGV[5]
for i = 9, #ARGV do
  redis.call('HSET', KEYS[7], ARGV[i], name)
  entry = entry .. '\n' .. ARGV[i]
end
redis.call('HSET', KEYS[8], name, entry)
redis.call('HSET', KEYS[5], name, at .. ' ' .. ARGV[8] .. '\n' .. ARGV[6])
redis.call('ZADD', KEYS[6], 0, name)
redis.call('ZADD', KEYS[9], 0, ARGV[5] .. '/' .. name)
return done('ok ' .. created .. ' ' .. changed('t:' .. name) .. ' ' .. at)
`

// SaveTrigger creates or replaces a trigger and returns the registry's version. Each of endpoints is a method, a space
// and the canonical pattern of the path. The error is Conflict, and names the other trigger, if another trigger has one
// of the endpoints; it is NotFound if the function does not exist. Then nothing changes. A replaced trigger keeps its
// CreatedAt, which SaveTrigger sets in t.
func (s Registry) SaveTrigger(ctx context.Context, t *faas.Trigger, endpoints []string) (created bool, version int64, err error) {
	keys, args, err := s.triggerArguments(t, endpoints)
	if err != nil {
		return false, 0, err
	}
	a, err := s.change(ctx, saveTriggerLua, keys, args...)
	if err != nil {
		return false, 0, fmt.Errorf("save trigger %q: %w", t.Name, err)
	}
	switch a.code {
	case "ok":
	case "missing":
		return false, 0, noFunction(t.Function)
	case "taken":
		return false, 0, faas.Errorf(faas.Conflict, "trigger %q takes %s already", a.words[0], strings.Join(a.words[1:], " "))
	default:
		return false, 0, fmt.Errorf("save trigger %q: %w", t.Name, errReply(a))
	}
	if version, err = a.version(1); err == nil && len(a.words) == 3 {
		t.CreatedAt, err = parseTime(a.words[2])
	}
	if err != nil {
		return false, 0, fmt.Errorf("save trigger %q: %w", t.Name, err)
	}
	return a.words[0] == "1", version, nil
}

func (s Registry) triggerArguments(t *faas.Trigger, endpoints []string) (keys []string, args []any, err error) {
	record, err := json.Marshal(t)
	if err != nil {
		return nil, nil, fmt.Errorf("encode trigger %q: %w", t.Name, err)
	}
	args = []any{string(t.Name), string(t.Function), record, formatTime(t.CreatedAt), formatTime(t.UpdatedAt)}
	for _, endpoint := range endpoints {
		args = append(args, endpoint)
	}
	return s.triggerKeys(t.Function), args, nil
}

// triggerKeys returns KEYS[4] to KEYS[9] of the scripts that change triggers.
func (s Registry) triggerKeys(fn faas.FunctionName) []string {
	return []string{
		s.keys.function(fn), s.keys.triggers(), s.keys.triggerNames(),
		s.keys.triggerEndpoints(), s.keys.triggerHoldings(), s.keys.triggersByFunction(),
	}
}

// FindTrigger returns the trigger or a NotFound error.
func (s Registry) FindTrigger(ctx context.Context, name faas.TriggerName) (*faas.Trigger, error) {
	found, err := s.loadTriggers(ctx, []string{string(name)})
	if err == nil && len(found) == 0 {
		err = s.notFound(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("find trigger %q: %w", name, err)
	}
	if len(found) == 0 {
		return nil, noTrigger(name)
	}
	return found[0], nil
}

func noTrigger(name faas.TriggerName) error {
	return faas.Errorf(faas.NotFound, "there is no trigger %q", name)
}

// ListTriggers lists triggers, sorted by name. next is the cursor of the next page; "" at the end.
func (s Registry) ListTriggers(ctx context.Context, limit int, cursor string) (items []*faas.Trigger, next string, err error) {
	names, next, err := s.pageOfNames(ctx, s.keys.triggerNames(), limit, cursor)
	if err == nil {
		items, err = s.loadTriggers(ctx, names)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list triggers: %w", err)
	}
	return items, next, nil
}

// TriggersOf returns the names of a function's triggers, sorted.
func (s Registry) TriggersOf(ctx context.Context, name faas.FunctionName) ([]faas.TriggerName, error) {
	// '0' is the character after '/'.
	within := redis.ZRangeArgs{Key: s.keys.triggersByFunction(), ByLex: true, Start: "[" + string(name) + "/", Stop: "(" + string(name) + "0"}
	members, err := s.client.ZRangeArgs(ctx, within).Result()
	if err != nil {
		return nil, fmt.Errorf("list triggers of %q: %w", name, s.translate(err))
	}
	names := make([]faas.TriggerName, len(members))
	for i, m := range members {
		names[i] = faas.TriggerName(strings.TrimPrefix(m, string(name)+"/"))
	}
	return names, nil
}

// loadTriggers returns triggers by name, without deleted ones.
func (s Registry) loadTriggers(ctx context.Context, names []string) ([]*faas.Trigger, error) {
	if len(names) == 0 {
		return nil, nil
	}
	values, err := s.client.HMGet(ctx, s.keys.triggers(), names...).Result()
	if err != nil {
		return nil, s.translate(err)
	}
	items := make([]*faas.Trigger, 0, len(names))
	for _, value := range values {
		text, ok := value.(string)
		if !ok {
			continue
		}
		t, err := readTrigger(text)
		if err != nil {
			return nil, err
		}
		items = append(items, t)
	}
	return items, nil
}

// readTrigger parses a value of the triggers hash: "created updated\n" and the JSON.
func readTrigger(text string) (*faas.Trigger, error) {
	line, record, ok := strings.Cut(text, "\n")
	created, _, hasTimes := strings.Cut(line, " ")
	if !ok || !hasTimes {
		return nil, errReply("a trigger without times")
	}
	t := &faas.Trigger{}
	if err := json.Unmarshal([]byte(record), t); err != nil {
		return nil, errReply(err)
	}
	at, err := parseTime(created)
	if err != nil {
		return nil, err
	}
	t.CreatedAt = at
	return t, nil
}

// deleteTriggerLua deletes a trigger.
//
//	KEYS[5] to KEYS[9] as in releaseLua; ARGV[4] name
//
// Returns "ok VERSION" or "missing".
const deleteTriggerLua = releaseLua + `
if redis.call('HDEL', KEYS[5], ARGV[4]) == 0 then return 'missing' end
release(ARGV[4])
return done('ok ' .. changed('t:' .. ARGV[4]))
`

// DeleteTrigger deletes a trigger and returns the registry's version. The error is NotFound if the trigger does not
// exist.
func (s Registry) DeleteTrigger(ctx context.Context, name faas.TriggerName) (version int64, err error) {
	a, err := s.change(ctx, deleteTriggerLua, s.triggerKeys(""), string(name))
	switch {
	case err != nil:
	case a.code == "missing":
		return 0, noTrigger(name)
	default:
		version, err = a.version(0)
	}
	if err != nil {
		return 0, fmt.Errorf("delete trigger %q: %w", name, err)
	}
	return version, nil
}
