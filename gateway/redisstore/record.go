package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"davit/internal/faas"
)

// Invocations stores the records of invocations and the durable queue.
type Invocations struct{ *conn }

// An invocation is a hash of these columns:
//
//	r  the record as JSON
//	s  its state
//	a  its attempt
//	v  number of writes
//	f  its function
//	t  its trigger
//	b  the runner that the attempt is bound to, or ""
//	c  "1" if it is to be cancelled, else ""
//	o  the gateway that leads it, or ""
//	n  the last requests that wrote it, of the kinds that must not run twice
//	q  the request that took it from the queue last
//
// s, b, c and o change without r.

// writeLua is the beginning of every script that writes invocations.
//
//	KEYS[1] invocations, KEYS[2] expiry, KEYS[3] leases,
//	KEYS[4]… byState of queued, starting, running, succeeded, failed, cancelled,
//	KEYS[10]… of each invocation: invocation, byFunction, byTrigger
//	ARGV[1]   channel
//	ARGV[2]   request
//	ARGV[3]   number of invocations, ARGV[4]… of each: ID, function, trigger, state, attempt, JSON, runner, gateway,
//	          cancelled ("1" or ""), ms when the record expires and ms when Redis deletes it ("" unless it is final)
const writeLua = `
local byState = {queued = KEYS[4], starting = KEYS[5], running = KEYS[6], succeeded = KEYS[7], failed = KEYS[8], cancelled = KEYS[9]}
local rank = {queued = 1, starting = 2, running = 3, succeeded = 4, failed = 4, cancelled = 4}

-- read returns the stored invocation in KEYS[k]; its state is false if there is none.
local function read(k, id)
  local c = redis.call('HMGET', KEYS[k], 's', 'a', 'b', 'c', 'o', 'n', 'v')
  local leased = c[1] and redis.call('ZSCORE', KEYS[3], id)
  return {state = c[1], attempt = tonumber(c[2] or 0), runner = c[3], cancelled = c[4], owner = c[5], request = c[6], version = c[7], leased = leased}
end

-- done returns whether this request wrote the invocation before, so that its answer got lost.
local function done(old)
  return old.request and string.find(old.request, ARGV[2], 1, true)
end

-- remember adds the request to the last eight in KEYS[k].
local function remember(k, old)
  redis.call('HSET', KEYS[k], 'n', string.sub(ARGV[2] .. ' ' .. (old.request or ''), 1, 8 * (#ARGV[2] + 1)))
end

-- refusal returns why the invocation in ARGV[a] must not replace old: it is final, of a later attempt, or led by another gateway.
local function refusal(old, a)
  if not old.state then return end
  if rank[old.state] == 4 then return 'final' end
  if tonumber(ARGV[a + 4]) < old.attempt then return 'late' end
  if old.leased and ARGV[a + 7] ~= '' and old.owner ~= ARGV[a + 7] then return 'stale' end
end

-- write replaces old in KEYS[k] by the invocation in ARGV[a]. It returns a line for the channel if the state changed.
local function write(k, a, old)
  local id, state, runner, owner, cancelled = ARGV[a], ARGV[a + 3], ARGV[a + 6], ARGV[a + 7], ARGV[a + 8]
  local message
  if not old.state then
    redis.call('ZADD', KEYS[1], 0, id)
    redis.call('ZADD', KEYS[k + 1], 0, id)
    redis.call('ZADD', KEYS[k + 2], 0, id)
  end
  if old.state ~= state then
    if old.state then redis.call('ZREM', byState[old.state], id) end
    redis.call('ZADD', byState[state], 0, id)
    message = 'invocation ' .. id .. ' ' .. state .. ' ' .. ARGV[a + 1] .. ' ' .. ARGV[a + 2]
  end
  if old.state and old.attempt == tonumber(ARGV[a + 4]) and old.runner ~= '' then runner = old.runner end
  if old.cancelled == '1' then cancelled = '1' end
  if old.leased then owner = old.owner end
  redis.call('HSET', KEYS[k], 'r', ARGV[a + 5], 's', state, 'a', ARGV[a + 4], 'v', (old.version or 0) + 1,
    'f', ARGV[a + 1], 't', ARGV[a + 2], 'b', runner, 'c', cancelled, 'o', owner)
  if ARGV[a + 9] ~= '' then
    if old.leased then redis.call('ZREM', KEYS[3], id) end
    redis.call('ZADD', KEYS[2], ARGV[a + 9], id)
    redis.call('PEXPIREAT', KEYS[k], ARGV[a + 10])
  end
  return message
end
`

// columns are the columns that a record is read from, in this order.
func columns() []string { return []string{"r", "s", "v", "b", "c", "o"} }

// stored is a record as it is stored in Redis.
type stored struct {
	invocation *faas.Invocation
	version    string
}

// readRecord makes a record from the values of columns. ok is false if there is none.
func readRecord(values []any) (rec stored, ok bool, err error) {
	if len(values) != len(columns()) {
		return stored{}, false, errReply(values)
	}
	text := make([]string, len(values))
	for i, v := range values {
		text[i], _ = v.(string)
	}
	if text[0] == "" {
		return stored{}, false, nil
	}
	inv := &faas.Invocation{}
	if err := json.Unmarshal([]byte(text[0]), inv); err != nil {
		return stored{}, false, errReply(err)
	}
	inv.State = faas.State(text[1])
	runner, cancelled, owner := faas.RunnerID(text[3]), text[4] == "1", faas.GatewayID(text[5])
	if inv.Inner == nil && (runner != "" || cancelled || owner != "") {
		inv.Inner = &faas.Inner{}
	}
	if inv.Inner != nil {
		inv.Inner.Runner, inv.Inner.Cancelled, inv.Inner.Gateway = runner, cancelled, owner
	}
	return stored{invocation: inv, version: text[2]}, true, nil
}

// stateKeys returns the keys of the indexes by state, in the order of states.
func (s Invocations) stateKeys() (keys []string) {
	for _, state := range states() {
		keys = append(keys, s.keys.byState(state))
	}
	return keys
}

// writeKeys returns the KEYS of a script that begins with writeLua.
func (s Invocations) writeKeys(invs []*faas.Invocation) []string {
	keys := make([]string, 0, 9+3*len(invs))
	keys = append(keys, s.keys.invocations(), s.keys.expiry(), s.keys.leases())
	keys = append(keys, s.stateKeys()...)
	for _, inv := range invs {
		keys = append(keys, s.keys.invocation(inv.ID), s.keys.byFunction(inv.Function), s.keys.byTrigger(inv.Trigger))
	}
	return keys
}

func states() []faas.State {
	return []faas.State{faas.Queued, faas.Starting, faas.Running, faas.Succeeded, faas.Failed, faas.StateCancelled}
}

// writeArgs returns the first ARGV of a script that begins with writeLua.
func (s Invocations) writeArgs(request string, invs []*faas.Invocation) ([]any, error) {
	args := make([]any, 0, 4+11*len(invs))
	args = append(args, s.keys.messages(), request, len(invs))
	for _, inv := range invs {
		if !known(inv.State) {
			return nil, faas.Errorf(faas.Internal, "invocation %s has the unknown state %q", inv.ID, inv.State)
		}
		record, err := json.Marshal(inv)
		if err != nil {
			return nil, fmt.Errorf("encode invocation %s: %w", inv.ID, err)
		}
		inner := faas.Inner{}
		if inv.Inner != nil {
			inner = *inv.Inner
		}
		cancelled := ""
		if inner.Cancelled {
			cancelled = "1"
		}
		due, last := s.expiry(inv)
		args = append(args, string(inv.ID), string(inv.Function), string(inv.Trigger), string(inv.State), inv.Attempt, record,
			string(inner.Runner), string(inner.Gateway), cancelled, due, last)
	}
	return args, nil
}

func known(state faas.State) bool {
	for _, s := range states() {
		if s == state {
			return true
		}
	}
	return false
}

const (
	defaultRetention = 24 * time.Hour
	sweepWithin      = 24 * time.Hour // from the expiry of a record until Redis deletes it
)

// expiry returns when a final record expires, and when Redis deletes it if no gateway has; "" unless the record is
// final.
func (s Invocations) expiry(inv *faas.Invocation) (due, last string) {
	if !inv.State.Final() {
		return "", ""
	}
	end := inv.CreatedAt
	if inv.EndedAt != nil {
		end = *inv.EndedAt
	}
	retention := defaultRetention
	if inv.Inner != nil && inv.Inner.Retention > 0 {
		retention = inv.Inner.Retention.Std()
	}
	end = end.Add(retention)
	if inv.Result != nil && inv.Result.ExpiresAt != nil {
		end = *inv.Result.ExpiresAt
	}
	latest := end
	if now := s.now(); latest.Before(now) {
		latest = now
	}
	return strconv.FormatInt(s.stamp(end), 10), strconv.FormatInt(s.stamp(latest.Add(sweepWithin)), 10)
}
