package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// scanChunk is the number of IDs that one step of a list reads from an index.
const scanChunk = 200

// ListInvocations lists the records that the filter selects, newest first. next is the cursor of the next page; "" at
// the end. New and changed records do not move other records to another page. ListInvocations reads the shortest index
// of the filter in steps until the page is full or the index ends.
func (s Invocations) ListInvocations(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error) {
	if f.Cursor != "" {
		if _, err := faas.ParseInvocationID(f.Cursor); err != nil {
			return nil, "", faas.Errorf(faas.Invalid, "the cursor is not valid; use next from the previous page")
		}
	}
	size := pageSize(f.Limit)
	index, exact, err := s.shortestIndex(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("list invocations: %w", err)
	}
	step := scanChunk
	if exact {
		step = size + 1
	}
	for cursor, more := f.Cursor, true; more && len(items) <= size; {
		var found []*faas.Invocation
		found, cursor, more, err = s.scan(ctx, index, f, cursor, step)
		if err != nil {
			return nil, "", fmt.Errorf("list invocations: %w", err)
		}
		items = append(items, found...)
	}
	if len(items) > size {
		items = items[:size]
		next = string(items[size-1].ID)
	}
	return items, next, nil
}

// shortestIndex returns the index that contains all records of the filter and has the fewest IDs within its bounds.
// exact is true if it contains no other records.
func (s Invocations) shortestIndex(ctx context.Context, f faas.InvocationFilter) (key string, exact bool, err error) {
	var keys []string
	if f.Trigger != "" {
		keys = append(keys, s.keys.byTrigger(f.Trigger))
	}
	if f.Function != "" {
		keys = append(keys, s.keys.byFunction(f.Function))
	}
	if f.State != "" {
		keys = append(keys, s.keys.byState(f.State))
	}
	switch len(keys) {
	case 0:
		return s.keys.invocations(), true, nil
	case 1:
		return keys[0], true, nil
	}
	oldest, newest := bounds(f, f.Cursor)
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			p.ZLexCount(ctx, k, oldest, newest)
		}
		return nil
	})
	if err != nil {
		return "", false, s.translate(err)
	}
	shortest := 0
	for i, cmd := range cmds {
		if cmd.(*redis.IntCmd).Val() < cmds[shortest].(*redis.IntCmd).Val() {
			shortest = i
		}
	}
	return keys[shortest], false, nil
}

// bounds returns the oldest and the newest ID that a list after the cursor may contain, as Redis compares them.
func bounds(f faas.InvocationFilter, cursor string) (oldest, newest string) {
	oldest, newest = "-", "+"
	if !f.Since.IsZero() {
		oldest = "[" + idAt(f.Since)
	}
	if cursor != "" {
		newest = "(" + cursor
	}
	return oldest, newest
}

// scan reads the next step of an index after the cursor and returns the records that the filter selects. last is the
// new cursor; more is false at the end of the index.
func (s Invocations) scan(ctx context.Context, index string, f faas.InvocationFilter, cursor string, step int) (found []*faas.Invocation, last string, more bool, err error) {
	oldest, newest := bounds(f, cursor)
	within := redis.ZRangeArgs{Key: index, ByLex: true, Rev: true, Start: newest, Stop: oldest, Count: int64(step)}
	ids, err := s.client.ZRangeArgs(ctx, within).Result()
	if err != nil {
		return nil, "", false, s.translate(err)
	}
	if len(ids) == 0 {
		return nil, cursor, false, nil
	}
	fitting, err := s.selectIDs(ctx, ids, f)
	if err != nil {
		return nil, "", false, err
	}
	loaded, err := s.load(ctx, fitting)
	if err != nil {
		return nil, "", false, err
	}
	var dead []any
	for i, inv := range loaded {
		switch {
		case inv == nil:
			dead = append(dead, fitting[i])
		case selects(f, inv.Function, inv.Trigger, inv.State):
			found = append(found, inv)
		}
	}
	if len(dead) > 0 {
		if err := s.removeDropped(ctx, f, dead); err != nil {
			return nil, "", false, err
		}
	}
	return found, ids[len(ids)-1], len(ids) == step, nil
}

// removeDropped removes from the indexes the IDs of records that Redis dropped at their expiry: from those of the
// filter, which the records may have matched, and from those of all records and of all states. Which other functions
// and triggers the records had is not known any more; lists of these remove the IDs.
func (s Invocations) removeDropped(ctx context.Context, f faas.InvocationFilter, ids []any) error {
	keys := append(s.stateKeys(), s.keys.invocations())
	if f.Function != "" {
		keys = append(keys, s.keys.byFunction(f.Function))
	}
	if f.Trigger != "" {
		keys = append(keys, s.keys.byTrigger(f.Trigger))
	}
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			p.ZRem(ctx, k, ids...)
		}
		return nil
	})
	return s.translate(err)
}

func selects(f faas.InvocationFilter, fn faas.FunctionName, trigger faas.TriggerName, state faas.State) bool {
	return (f.Function == "" || f.Function == fn) && (f.Trigger == "" || f.Trigger == trigger) && (f.State == "" || f.State == state)
}

// selectIDs returns the IDs of the records that the filter selects, and of records that no longer exist. It reads only
// the columns of the filter. If only one field of the filter is set, it returns all ids, because the index contains no
// others.
func (s Invocations) selectIDs(ctx context.Context, ids []string, f faas.InvocationFilter) ([]string, error) {
	filters := 0
	for _, set := range []bool{f.Function != "", f.Trigger != "", f.State != ""} {
		if set {
			filters++
		}
	}
	if filters < 2 {
		return ids, nil
	}
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.HMGet(ctx, s.keys.invocation(faas.InvocationID(id)), "f", "t", "s")
		}
		return nil
	})
	if err != nil {
		return nil, s.translate(err)
	}
	var fitting []string
	for i, cmd := range cmds {
		values := cmd.(*redis.SliceCmd).Val()
		fn, there := values[0].(string)
		trigger, _ := values[1].(string)
		state, _ := values[2].(string)
		if !there || selects(f, faas.FunctionName(fn), faas.TriggerName(trigger), faas.State(state)) {
			fitting = append(fitting, ids[i])
		}
	}
	return fitting, nil
}

// load returns records by ID; a record that no longer exists is nil.
func (s Invocations) load(ctx context.Context, ids []string) ([]*faas.Invocation, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.HMGet(ctx, s.keys.invocation(faas.InvocationID(id)), columns()...)
		}
		return nil
	})
	if err != nil {
		return nil, s.translate(err)
	}
	items := make([]*faas.Invocation, len(ids))
	for i, cmd := range cmds {
		rec, ok, err := readRecord(cmd.(*redis.SliceCmd).Val())
		if err != nil {
			return nil, err
		}
		if ok {
			items[i] = rec.invocation
		}
	}
	return items, nil
}

// idAt returns a text that sorts before every UUIDv7 made at t or later, and after those of earlier milliseconds (RFC
// 9562, 5.7).
func idAt(t time.Time) string {
	hex := fmt.Sprintf("%012x", max(t.UnixMilli(), 0))
	return hex[:8] + "-" + hex[8:]
}
