package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"davit/internal/faas"
)

// FindRevision returns the revision or a NotFound error.
func (s Registry) FindRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	found, err := s.loadRevisions(ctx, ref.Function, []faas.RevisionNumber{ref.Number})
	if err == nil && len(found) == 0 {
		err = s.notFound(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("find revision %s: %w", ref, err)
	}
	if len(found) == 0 {
		return nil, noRevision(ref)
	}
	return found[0], nil
}

// ListRevisions lists a function's revisions, newest first. next is the cursor of the next page; "" at the end. The
// error is NotFound if the function does not exist.
func (s Registry) ListRevisions(ctx context.Context, name faas.FunctionName, limit int, cursor string) (items []*faas.Revision, next string, err error) {
	first, latest, err := s.numbersOf(ctx, name)
	if err != nil {
		return nil, "", fmt.Errorf("list revisions of %q: %w", name, err)
	}
	if cursor != "" {
		last, err := strconv.Atoi(cursor)
		if err != nil {
			return nil, "", faas.Errorf(faas.Invalid, "the cursor is not valid; use next from the previous page")
		}
		latest = min(latest, faas.RevisionNumber(last)-1)
	}
	var numbers []faas.RevisionNumber
	for n := latest; n >= first && len(numbers) < pageSize(limit); n-- {
		numbers = append(numbers, n)
	}
	if items, err = s.loadRevisions(ctx, name, numbers); err != nil {
		return nil, "", fmt.Errorf("list revisions of %q: %w", name, err)
	}
	if len(numbers) > 0 && numbers[len(numbers)-1] > first {
		next = strconv.Itoa(int(numbers[len(numbers)-1]))
	}
	return items, next, nil
}

// numbersOf returns the first and the last revision number of a function.
func (s Registry) numbersOf(ctx context.Context, name faas.FunctionName) (first, latest faas.RevisionNumber, err error) {
	values, err := s.client.HMGet(ctx, s.keys.function(name), "first", "latest").Result()
	if err != nil {
		return 0, 0, s.translate(err)
	}
	var numbers [2]int
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			if err := s.notFound(ctx); err != nil {
				return 0, 0, err
			}
			return 0, 0, noFunction(name)
		}
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return 0, 0, errReply(text)
		}
	}
	return faas.RevisionNumber(numbers[0]), faas.RevisionNumber(numbers[1]), nil
}

// loadRevisions returns revisions by number, without missing ones.
func (s Registry) loadRevisions(ctx context.Context, name faas.FunctionName, numbers []faas.RevisionNumber) ([]*faas.Revision, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	fields := make([]string, 0, 2*len(numbers))
	for _, n := range numbers {
		number := strconv.Itoa(int(n))
		fields = append(fields, number, number+":state")
	}
	values, err := s.client.HMGet(ctx, s.keys.revisions(name), fields...).Result()
	if err != nil {
		return nil, s.translate(err)
	}
	items := make([]*faas.Revision, 0, len(numbers))
	for i, n := range numbers {
		record, ok := values[2*i].(string)
		state, hasState := values[2*i+1].(string)
		if !ok || !hasState {
			continue
		}
		rev, err := readRevision([]byte(record), faas.RevisionRef{Function: name, Number: n}, faas.RevisionState(state))
		if err != nil {
			return nil, err
		}
		items = append(items, rev)
	}
	return items, nil
}

func readRevision(record []byte, ref faas.RevisionRef, state faas.RevisionState) (*faas.Revision, error) {
	rev := &faas.Revision{}
	if err := json.Unmarshal(record, rev); err != nil {
		return nil, errReply(err)
	}
	rev.Function, rev.Number, rev.State = ref.Function, ref.Number, state
	return rev, nil
}
