package redisstore

import (
	"context"
	"fmt"
	"time"
)

// Gateways on several machines compare the times of heartbeats and leases. All gateways use the time of the Redis
// server, because the machines' clocks differ.

// clockTolerance is the largest difference from the server's clock that is ignored, and the longest round trip of a
// valid measurement.
const clockTolerance = 250 * time.Millisecond

// setClock measures by how much the server's clock is ahead of this machine's.
func (s *conn) setClock(ctx context.Context) error {
	before := s.now()
	there, err := s.client.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("read the clock of Redis: %w", s.translate(err))
	}
	trip := s.now().Sub(before)
	if trip > clockTolerance {
		return nil
	}
	ahead := there.Sub(before.Add(trip / 2))
	if ahead.Abs() < clockTolerance {
		ahead = 0
	}
	s.skew.Store(int64(ahead))
	return nil
}

// stamp converts an instant of this machine's clock to the server's, in milliseconds.
func (s *conn) stamp(t time.Time) int64 {
	return t.Add(time.Duration(s.skew.Load())).UnixMilli()
}
