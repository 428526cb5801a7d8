package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// changesLua reads the changes after a version.
//
//	KEYS[1] version, KEYS[2] changes; ARGV[1] since
//
// Returns {} if the registry was not opened, {VERSION} if the log of changes does not go back to since, else {VERSION,
// {the names of each later version…}}.
const changesLua = `
local version = redis.call('GET', KEYS[1])
if not version then return {} end
local behind = version - ARGV[1]
if behind < 0 or behind > redis.call('LLEN', KEYS[2]) then return {version} end
if behind == 0 then return {version, {}} end
return {version, redis.call('LRANGE', KEYS[2], -behind, -1)}
`

// Changes returns the names of the registrations that changed after version since. The error is faas.ErrEmpty if the
// registry lost its contents; the caller then keeps the registrations that it has.
func (s Registry) Changes(ctx context.Context, since int64) (faas.Changes, error) {
	parts, err := s.eval(ctx, changesLua, []string{s.keys.version(), s.keys.changes()}, since).Slice()
	if err != nil {
		return faas.Changes{}, fmt.Errorf("read changes since %d: %w", since, s.translate(err))
	}
	if len(parts) == 0 {
		return faas.Changes{}, fmt.Errorf("read changes since %d: %w", since, errEmpty())
	}
	text, _ := parts[0].(string)
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return faas.Changes{}, fmt.Errorf("read changes since %d: %w", since, errReply(parts))
	}
	if len(parts) == 1 {
		return faas.Changes{Version: version, Full: true}, nil
	}
	lines, _ := parts[1].([]any)
	return collect(version, lines), nil
}

// collect returns the names in lines of the log of changes, without duplicates.
func collect(version int64, lines []any) faas.Changes {
	changes := faas.Changes{Version: version}
	seen := map[string]bool{}
	for _, line := range lines {
		text, _ := line.(string)
		for entry := range strings.FieldsSeq(text) {
			if seen[entry] {
				continue
			}
			seen[entry] = true
			if name, ok := strings.CutPrefix(entry, "f:"); ok {
				changes.Functions = append(changes.Functions, faas.FunctionName(name))
			} else if name, ok := strings.CutPrefix(entry, "t:"); ok {
				changes.Triggers = append(changes.Triggers, faas.TriggerName(name))
			}
		}
	}
	return changes
}

// Snapshot returns all functions, live revisions and triggers. The result may or may not contain a change that is made
// during the call, but Changes since its Version returns every such change. The error is faas.ErrEmpty if the registry
// lost its contents.
func (s Registry) Snapshot(ctx context.Context) (*faas.Snapshot, error) {
	all := &faas.Snapshot{Deleted: map[faas.FunctionName]faas.RevisionNumber{}}
	version, err := s.client.Get(ctx, s.keys.version()).Int64()
	switch {
	case err == redis.Nil: //nolint:errorlint // the client returns it bare
		err = errEmpty()
	case err != nil:
		err = s.translate(err)
	default:
		all.Version = version
		err = s.fill(ctx, all)
	}
	if err != nil {
		return nil, fmt.Errorf("read all registrations: %w", err)
	}
	return all, nil
}

func (s Registry) fill(ctx context.Context, all *faas.Snapshot) error {
	for cursor := ""; ; {
		page, next, err := s.ListFunctions(ctx, mostLimit, cursor)
		if err != nil {
			return err
		}
		all.Functions = append(all.Functions, page...)
		revisions, err := s.liveRevisions(ctx, page)
		if err != nil {
			return err
		}
		all.Revisions = append(all.Revisions, revisions...)
		if cursor = next; cursor == "" {
			break
		}
	}
	deleted, err := s.client.HGetAll(ctx, s.keys.deletedFunctions()).Result()
	if err != nil {
		return s.translate(err)
	}
	for name, text := range deleted {
		number, err := strconv.Atoi(text)
		if err != nil {
			return errReply(text)
		}
		all.Deleted[faas.FunctionName(name)] = faas.RevisionNumber(number)
	}
	all.Triggers, err = s.allTriggers(ctx)
	return err
}

// liveRevisions returns the live revisions of functions. It skips functions without a live revision.
func (s Registry) liveRevisions(ctx context.Context, functions []*faas.Function) ([]*faas.Revision, error) {
	pipe := s.client.Pipeline()
	cmds := map[*faas.Function]*redis.StringCmd{}
	for _, f := range functions {
		if f.Live > 0 {
			cmds[f] = pipe.HGet(ctx, s.keys.revisions(f.Name), strconv.Itoa(int(f.Live)))
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	var items []*faas.Revision
	for _, f := range functions {
		cmd := cmds[f]
		if cmd == nil || cmd.Err() == redis.Nil { //nolint:errorlint // the client returns it bare
			continue
		}
		record, err := cmd.Bytes()
		if err != nil {
			return nil, s.translate(err)
		}
		rev, err := readRevision(record, faas.RevisionRef{Function: f.Name, Number: f.Live}, faas.RevisionReady)
		if err != nil {
			return nil, err
		}
		items = append(items, rev)
	}
	return items, nil
}

// readBatch is the number of triggers that one command reads.
const readBatch = 1000

// allTriggers returns all triggers. A trigger that is replaced during the call is returned in its old or its new form.
func (s Registry) allTriggers(ctx context.Context) ([]*faas.Trigger, error) {
	names, err := s.client.HKeys(ctx, s.keys.triggers()).Result()
	if err != nil {
		return nil, s.translate(err)
	}
	items := make([]*faas.Trigger, 0, len(names))
	for part := range slices.Chunk(names, readBatch) {
		some, err := s.loadTriggers(ctx, part)
		if err != nil {
			return nil, err
		}
		items = append(items, some...)
	}
	return items, nil
}
