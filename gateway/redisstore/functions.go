package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// addRevisionLua adds a revision under the next number, and adds its function if the function is new.
//
//	KEYS[4] function, KEYS[5] revisions, KEYS[6] functions, KEYS[7] deletedFunctions
//	ARGV[4] name, ARGV[5] the revision as JSON without number and state, ARGV[6] now
//
// Returns "ok CREATED NUMBER".
const addRevisionLua = registryLua + `
local latest = redis.call('HGET', KEYS[4], 'latest')
local created = 0
if not latest then
  created = 1
  latest = redis.call('HGET', KEYS[7], ARGV[4]) or 0
  redis.call('HSET', KEYS[4], 'live', 0, 'first', latest + 1, 'created', ARGV[6])
  redis.call('ZADD', KEYS[6], 0, ARGV[4])
end
local number = latest + 1
redis.call('HSET', KEYS[5], number, ARGV[5], number .. ':state', 'building')
redis.call('HSET', KEYS[4], 'latest', number, 'updated', ARGV[6])
changed('f:' .. ARGV[4])
return done('ok ' .. created .. ' ' .. number)
`

// AddRevision adds the next revision of a function, in state building, and the function if it is new. Numbers count
// from 1. No number is used twice, even if the function was deleted in between.
func (s Registry) AddRevision(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, at time.Time) (rev *faas.Revision, created bool, err error) {
	rev = &faas.Revision{Function: name, State: faas.RevisionBuilding, Spec: spec, CreatedAt: at}
	record, err := json.Marshal(rev)
	if err != nil {
		return nil, false, fmt.Errorf("encode revision of %q: %w", name, err)
	}
	keys := []string{s.keys.function(name), s.keys.revisions(name), s.keys.functions(), s.keys.deletedFunctions()}
	a, err := s.change(ctx, addRevisionLua, keys, string(name), record, formatTime(at))
	if err != nil {
		return nil, false, fmt.Errorf("add revision of %q: %w", name, err)
	}
	number, err := a.version(1)
	if err != nil {
		return nil, false, fmt.Errorf("add revision of %q: %w", name, err)
	}
	rev.Number = faas.RevisionNumber(number)
	return rev, a.words[0] == "1", nil
}

// saveRevisionLua writes an existing revision.
//
//	KEYS[4] function, KEYS[5] revisions
//	ARGV[4] name, ARGV[5] number, ARGV[6] state, ARGV[7] JSON, ARGV[8] now
//
// Returns "ok VERSION"; "missing"; "ended STATE" if it is ready or failed already and the new state differs.
const saveRevisionLua = registryLua + `
local was = redis.call('HGET', KEYS[5], ARGV[5] .. ':state')
if not was then return 'missing' end
if was ~= 'building' and was ~= ARGV[6] then return 'ended ' .. was end
redis.call('HSET', KEYS[5], ARGV[5], ARGV[7], ARGV[5] .. ':state', ARGV[6])
if was == 'building' and ARGV[6] == 'ready' and tonumber(ARGV[5]) > tonumber(redis.call('HGET', KEYS[4], 'live')) then
  redis.call('HSET', KEYS[4], 'live', ARGV[5])
end
redis.call('HSET', KEYS[4], 'updated', ARGV[8])
return done('ok ' .. changed('f:' .. ARGV[4]))
`

// SaveRevision writes a revision that AddRevision added, and returns the registry's version. A revision that changes
// from building to ready and is newer than the live one becomes live. The error is NotFound if the function was
// deleted, and Conflict if the stored revision is ready or failed and rev has another state.
func (s Registry) SaveRevision(ctx context.Context, rev *faas.Revision) (version int64, err error) {
	record, err := json.Marshal(rev)
	if err != nil {
		return 0, fmt.Errorf("encode revision %s: %w", rev.Ref(), err)
	}
	keys := []string{s.keys.function(rev.Function), s.keys.revisions(rev.Function)}
	a, err := s.change(ctx, saveRevisionLua, keys,
		string(rev.Function), int(rev.Number), string(rev.State), record, formatTime(s.now()))
	if err == nil {
		version, err = revisionAnswer(rev.Ref(), a)
	}
	if err != nil {
		return 0, fmt.Errorf("save revision %s: %w", rev.Ref(), err)
	}
	return version, nil
}

func revisionAnswer(ref faas.RevisionRef, a answer) (int64, error) {
	switch a.code {
	case "ok":
		return a.version(0)
	case "missing":
		return 0, noRevision(ref)
	case "ended":
		return 0, faas.Errorf(faas.Conflict, "revision %d of function %q is %s already", ref.Number, ref.Function, a.words[0])
	case "unready":
		return 0, faas.Errorf(faas.Conflict, "revision %d of function %q is %s; only a ready one can be live", ref.Number, ref.Function, a.words[0])
	}
	return 0, errReply(a)
}

func noFunction(name faas.FunctionName) error {
	return faas.Errorf(faas.NotFound, "there is no function %q", name)
}

func noRevision(ref faas.RevisionRef) error {
	return faas.Errorf(faas.NotFound, "there is no revision %d of a function %q", ref.Number, ref.Function)
}

// rollbackLua makes a revision live.
//
//	KEYS[4] function, KEYS[5] revisions
//	ARGV[4] name, ARGV[5] number, ARGV[6] now
//
// Returns "ok VERSION", "missing" or "unready STATE".
const rollbackLua = registryLua + `
local state = redis.call('HGET', KEYS[5], ARGV[5] .. ':state')
if not state then return 'missing' end
if state ~= 'ready' then return 'unready ' .. state end
redis.call('HSET', KEYS[4], 'live', ARGV[5], 'updated', ARGV[6])
return done('ok ' .. changed('f:' .. ARGV[4]))
`

// Rollback makes a ready revision live, under its own number, and returns the registry's version. The error is Conflict
// if the revision is not ready.
func (s Registry) Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (version int64, err error) {
	ref := faas.RevisionRef{Function: name, Number: number}
	keys := []string{s.keys.function(name), s.keys.revisions(name)}
	a, err := s.change(ctx, rollbackLua, keys, string(name), int(number), formatTime(s.now()))
	if err == nil {
		version, err = revisionAnswer(ref, a)
	}
	if err != nil {
		return 0, fmt.Errorf("roll back to %s: %w", ref, err)
	}
	return version, nil
}

// FindFunction returns the function or a NotFound error.
func (s Registry) FindFunction(ctx context.Context, name faas.FunctionName) (*faas.Function, error) {
	columns, err := s.client.HGetAll(ctx, s.keys.function(name)).Result()
	if err != nil {
		return nil, fmt.Errorf("find function %q: %w", name, s.translate(err))
	}
	if len(columns) == 0 {
		if err := s.notFound(ctx); err != nil {
			return nil, fmt.Errorf("find function %q: %w", name, err)
		}
		return nil, noFunction(name)
	}
	return readFunction(name, columns)
}

func readFunction(name faas.FunctionName, columns map[string]string) (*faas.Function, error) {
	live, err := strconv.Atoi(columns["live"])
	if err != nil {
		return nil, errReply(columns)
	}
	latest, err := strconv.Atoi(columns["latest"])
	if err != nil {
		return nil, errReply(columns)
	}
	f := &faas.Function{Name: name, Live: faas.RevisionNumber(live), Latest: faas.RevisionNumber(latest)}
	if f.CreatedAt, err = parseTime(columns["created"]); err != nil {
		return nil, err
	}
	if f.UpdatedAt, err = parseTime(columns["updated"]); err != nil {
		return nil, err
	}
	return f, nil
}

// ListFunctions lists functions, sorted by name. next is the cursor of the next page; "" at the end.
func (s Registry) ListFunctions(ctx context.Context, limit int, cursor string) (items []*faas.Function, next string, err error) {
	names, next, err := s.pageOfNames(ctx, s.keys.functions(), limit, cursor)
	if err == nil {
		items, err = s.loadFunctions(ctx, names)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list functions: %w", err)
	}
	return items, next, nil
}

// loadFunctions returns functions by name, without deleted ones.
func (s Registry) loadFunctions(ctx context.Context, names []string) ([]*faas.Function, error) {
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range names {
			p.HGetAll(ctx, s.keys.function(faas.FunctionName(name)))
		}
		return nil
	})
	if err != nil {
		return nil, s.translate(err)
	}
	items := make([]*faas.Function, 0, len(names))
	for i, cmd := range cmds {
		columns := cmd.(*redis.MapStringStringCmd).Val()
		if len(columns) == 0 {
			continue
		}
		f, err := readFunction(faas.FunctionName(names[i]), columns)
		if err != nil {
			return nil, err
		}
		items = append(items, f)
	}
	return items, nil
}

// pageOfNames returns a page of a sorted set whose scores are all 0. The cursor is the last name of the previous page.
func (s Registry) pageOfNames(ctx context.Context, key string, limit int, cursor string) (names []string, next string, err error) {
	size := pageSize(limit)
	from := "-"
	if cursor != "" {
		from = "(" + cursor
	}
	names, err = s.client.ZRangeArgs(ctx, redis.ZRangeArgs{Key: key, ByLex: true, Start: from, Stop: "+", Count: int64(size) + 1}).Result()
	if err != nil {
		return nil, "", s.translate(err)
	}
	if len(names) > size {
		names = names[:size]
		next = names[size-1]
	}
	return names, next, nil
}
