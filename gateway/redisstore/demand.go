package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"davit/internal/faas"
)

// One gateway at a time leads the fleet: it decides from the demand of all gateways which runners are kept. Each write
// of a gateway's demand returns whether that gateway leads.

// shareLua publishes a gateway's demand, and takes or renews the lead.
//
//	KEYS[1] demand, KEYS[2] lead
//	ARGV[1] channel, ARGV[2] gateway, ARGV[3] its demand, a list in JSON, ARGV[4] ms now, ARGV[5] ms when the
//	lead ends, ARGV[6] ms before which a demand no longer counts
//
// Returns the term in which the gateway leads and the others' demand, or 0. Publishes the change if another gateway
// leads and the demand has changed.
const shareLua = `
local was = redis.call('HGET', KEYS[1], ARGV[2])
if ARGV[3] == '[]' then
  if was then redis.call('HDEL', KEYS[1], ARGV[2]) end
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4] .. ' ' .. ARGV[3])
end
local lead = redis.call('HMGET', KEYS[2], 'gateway', 'term', 'until')
local term = tonumber(lead[2] or '0')
if lead[1] and lead[1] ~= ARGV[2] and tonumber(lead[3]) > tonumber(ARGV[4]) then
  local before = was and string.match(was, '^%d+ (.*)$') or '[]'
  if before ~= ARGV[3] then redis.call('PUBLISH', ARGV[1], 'demand ' .. ARGV[2]) end
  return {0}
end
if lead[1] ~= ARGV[2] or tonumber(lead[3]) <= tonumber(ARGV[4]) then term = term + 1 end
redis.call('HSET', KEYS[2], 'gateway', ARGV[2], 'term', tostring(term), 'until', ARGV[5])
local answer = {term}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at, text = string.match(all[i + 1], '^(%d+) (.*)$')
  if not at or tonumber(at) < tonumber(ARGV[6]) then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[2] then
    answer[#answer + 1] = text
  end
end
return answer
`

// ShareDemand replaces the demand of a gateway. It must be called each second, because a demand counts for 3 s, and
// whenever the demand changes. It takes the lead for the duration lead, or renews it, unless another gateway has it.
// term is 0 if another gateway leads; otherwise it counts the leads so far, and others is the demand of the other
// gateways.
func (s Fleet) ShareDemand(ctx context.Context, gateway faas.GatewayID, own []faas.Demand, lead time.Duration) (term int64, others []faas.Demand, err error) {
	if own == nil {
		own = []faas.Demand{}
	}
	text, err := json.Marshal(own)
	if err != nil {
		return 0, nil, fmt.Errorf("share the demand of gateway %q: %w", gateway, err)
	}
	now := s.now()
	answer, err := s.eval(ctx, shareLua, []string{s.keys.demand(), s.keys.lead()}, s.keys.messages(), string(gateway), string(text),
		s.stamp(now), s.stamp(now.Add(lead)), s.stamp(now.Add(-liveFor))).Slice()
	if err != nil {
		return 0, nil, fmt.Errorf("share the demand of gateway %q: %w", gateway, s.translate(err))
	}
	term, others, err = readDemand(answer)
	if err != nil {
		return 0, nil, fmt.Errorf("share the demand of gateway %q: %w", gateway, err)
	}
	return term, others, nil
}

func readDemand(answer []any) (term int64, others []faas.Demand, err error) {
	if len(answer) == 0 {
		return 0, nil, errReply(answer)
	}
	term, isTerm := answer[0].(int64)
	if !isTerm {
		return 0, nil, errReply(answer[0])
	}
	for _, one := range answer[1:] {
		text, isText := one.(string)
		var demand []faas.Demand
		if !isText || json.Unmarshal([]byte(text), &demand) != nil {
			return 0, nil, errReply(one)
		}
		others = slices.Concat(others, demand)
	}
	return term, others, nil
}

// leaveLeadLua removes a gateway's demand, and ends its lead if it has it.
//
//	KEYS[1] demand, KEYS[2] lead; ARGV[1] channel, ARGV[2] gateway
const leaveLeadLua = `
redis.call('HDEL', KEYS[1], ARGV[2])
if redis.call('HGET', KEYS[2], 'gateway') == ARGV[2] then
  redis.call('HSET', KEYS[2], 'until', '0')
  redis.call('PUBLISH', ARGV[1], 'lead')
end
return 1
`

// LeaveLead removes a gateway's demand. If it leads, another gateway can take the lead at once.
func (s Fleet) LeaveLead(ctx context.Context, gateway faas.GatewayID) error {
	err := s.eval(ctx, leaveLeadLua, []string{s.keys.demand(), s.keys.lead()}, s.keys.messages(), string(gateway)).Err()
	if err != nil {
		return fmt.Errorf("give up the lead of gateway %q: %w", gateway, s.translate(err))
	}
	return nil
}

// PublishExit sends every gateway a line that describes how a runner ended.
func (s Fleet) PublishExit(ctx context.Context, line string) error {
	if err := s.client.Publish(ctx, s.keys.messages(), string(KindExit)+" "+line).Err(); err != nil {
		return fmt.Errorf("publish how a runner ended: %w", s.translate(err))
	}
	return nil
}
