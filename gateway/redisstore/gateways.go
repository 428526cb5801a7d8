package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"davit/internal/faas"
)

// Gateways stores the set of live gateways.
type Gateways struct {
	*conn

	messages *Messages
}

// Gateway is one live gateway process.
type Gateway struct {
	ID         faas.GatewayID // without spaces
	RunnerAddr string         // host:port of its runner listener, without spaces
	Applied    int64          // the registry version that the gateway serves
}

const (
	liveFor   = 3 * time.Second // after the last heartbeat
	forgetFor = time.Minute     // after the last heartbeat, until the entry is deleted
)

// beatLua writes a heartbeat.
//
//	KEYS[1] gateways
//	ARGV[1] channel, ARGV[2] id, ARGV[3] address, ARGV[4] applied, ARGV[5] ms now,
//	ARGV[6] ms before which a gateway is dead, ARGV[7] ms before which its entry is deleted
//
// Publishes if the gateway is new, has another address, or serves another version.
const beatLua = `
local known = redis.call('HGET', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[5] .. ' ' .. ARGV[4] .. ' ' .. ARGV[3])
local beat, applied, address
if known then beat, applied, address = string.match(known, '^(%S+) (%S+) (%S*)$') end
if not beat or tonumber(beat) < tonumber(ARGV[6]) or address ~= ARGV[3] then
  redis.call('PUBLISH', ARGV[1], 'peers ' .. ARGV[2])
end
if applied ~= ARGV[4] then redis.call('PUBLISH', ARGV[1], 'applied ' .. ARGV[4] .. ' ' .. ARGV[2]) end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%S+')) < tonumber(ARGV[7]) then redis.call('HDEL', KEYS[1], all[i]) end
end
return 1
`

// Beat writes the heartbeat of a gateway. It must be called each second, and when Applied changes. A gateway without a
// heartbeat for 3 s counts as dead.
func (s Gateways) Beat(ctx context.Context, g Gateway) error {
	now := s.now()
	err := s.eval(ctx, beatLua, []string{s.keys.gateways()}, s.keys.messages(), string(g.ID), g.RunnerAddr, g.Applied,
		s.stamp(now), s.stamp(now.Add(-liveFor)), s.stamp(now.Add(-forgetFor))).Err()
	if err != nil {
		return fmt.Errorf("write the heartbeat of gateway %q: %w", g.ID, s.translate(err))
	}
	return nil
}

// leaveLua deletes a gateway's entry. KEYS[1] gateways; ARGV[1] channel, ARGV[2] id.
const leaveLua = `
if redis.call('HDEL', KEYS[1], ARGV[2]) == 1 then redis.call('PUBLISH', ARGV[1], 'peers ' .. ARGV[2]) end
return 1
`

// Leave removes a gateway from the set of live gateways at once.
func (s Gateways) Leave(ctx context.Context, id faas.GatewayID) error {
	if err := s.eval(ctx, leaveLua, []string{s.keys.gateways()}, s.keys.messages(), string(id)).Err(); err != nil {
		return fmt.Errorf("remove gateway %q: %w", id, s.translate(err))
	}
	return nil
}

// LiveGateways returns the gateways with a heartbeat in the last 3 s, sorted by ID.
func (s Gateways) LiveGateways(ctx context.Context) ([]Gateway, error) {
	all, err := s.client.HGetAll(ctx, s.keys.gateways()).Result()
	if err != nil {
		return nil, fmt.Errorf("list live gateways: %w", s.translate(err))
	}
	dead := s.stamp(s.now().Add(-liveFor))
	live := make([]Gateway, 0, len(all))
	for id, text := range all {
		words := strings.SplitN(text, " ", 3)
		if len(words) != 3 {
			return nil, fmt.Errorf("list live gateways: %w", errReply(text))
		}
		beat, errBeat := strconv.ParseInt(words[0], 10, 64)
		applied, errApplied := strconv.ParseInt(words[1], 10, 64)
		if errBeat != nil || errApplied != nil {
			return nil, fmt.Errorf("list live gateways: %w", errReply(text))
		}
		if beat >= dead {
			live = append(live, Gateway{ID: faas.GatewayID(id), RunnerAddr: words[2], Applied: applied})
		}
	}
	slices.SortFunc(live, func(a, b Gateway) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return live, nil
}

// LiveGatewayIDs returns the IDs of LiveGateways.
func (s Gateways) LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error) {
	live, err := s.LiveGateways(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]faas.GatewayID, len(live))
	for i, g := range live {
		ids[i] = g.ID
	}
	return ids, nil
}

// pollEvery is how often AwaitApplied reads the gateways without a message, because a gateway that dies sends none.
const pollEvery = 100 * time.Millisecond

// AwaitApplied returns nil as soon as every live gateway serves the version or a later one. A gateway that leaves the
// set of live gateways does not count. After most it returns an Unavailable error, which names the gateways that do not
// serve the version. It detects a change at once while Run runs, else within 100 ms.
func (s Gateways) AwaitApplied(ctx context.Context, version int64, most time.Duration) error {
	messages, cancel := s.messages.Subscribe()
	defer cancel()
	end := time.NewTimer(most)
	defer end.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		behind, err := s.gatewaysBehind(ctx, version)
		if err != nil || len(behind) == 0 {
			return err
		}
		if err := awaitChange(ctx, messages, tick.C, end.C); err != nil {
			return fmt.Errorf("await version %d on gateways %s: %w", version, strings.Join(behind, ", "), err)
		}
	}
}

func (s Gateways) gatewaysBehind(ctx context.Context, version int64) ([]string, error) {
	live, err := s.LiveGateways(ctx)
	if err != nil {
		return nil, err
	}
	var behind []string
	for _, g := range live {
		if g.Applied < version {
			behind = append(behind, string(g.ID))
		}
	}
	return behind, nil
}

// awaitChange returns nil when the gateways should be read again.
func awaitChange(ctx context.Context, messages <-chan Message, tick, end <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return unavailable("not all gateways serve the change yet", nil)
		case <-tick:
			return nil
		case m := <-messages:
			if m.Kind == KindApplied || m.Kind == KindPeers || m.Kind == KindResync {
				return nil
			}
		}
	}
}
