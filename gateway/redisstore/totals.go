package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"davit/internal/faas"
)

// Totals counts invocations. Accepted = InFlight() + Final, always: the first and
// the last are counted when records are made and made final, the others are there.
type Totals struct {
	Accepted, Final           int64 // since this Redis was empty
	Queued, Starting, Running int64 // now
}

// InFlight is how many are accepted and not final.
func (t Totals) InFlight() int64 { return t.Queued + t.Starting + t.Running }

// totalsLua reads the counts.
//
//	KEYS[1] totals, KEYS[2]… byState of queued, starting, running
const totalsLua = `
local t = redis.call('HMGET', KEYS[1], 'accepted', 'final')
local count = {t[1] or '0', t[2] or '0'}
for i = 2, 4 do count[i + 1] = tostring(redis.call('ZCARD', KEYS[i])) end
return count
`

// Totals returns the counts, all of one instant.
func (s *Store) Totals(ctx context.Context) (Totals, error) {
	keys := []string{s.keys.totals(), s.keys.byState(faas.Queued), s.keys.byState(faas.Starting), s.keys.byState(faas.Running)}
	texts, err := s.eval(ctx, totalsLua, keys).StringSlice()
	if err != nil {
		return Totals{}, fmt.Errorf("count invocations: %w", s.fault(err))
	}
	var t Totals
	into := []*int64{&t.Accepted, &t.Final, &t.Queued, &t.Starting, &t.Running}
	if len(texts) != len(into) {
		return Totals{}, fmt.Errorf("count invocations: %w", errReply(texts))
	}
	for i, text := range texts {
		if *into[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return Totals{}, fmt.Errorf("count invocations: %w", errReply(texts))
		}
	}
	return t, nil
}
