package redisstore

import (
	"context"
	"fmt"
	"time"
)

// Sessions are the sessions of users that have not ended. They are listed, instead of those that have ended, so that a
// Redis that lost its data ends sessions and opens none.
type Sessions struct{ *conn }

// StartSession keeps a session until EndSession, for at most ttl.
func (s Sessions) StartSession(ctx context.Context, id string, ttl time.Duration) error {
	if err := s.client.Set(ctx, s.keys.session(id), 1, ttl).Err(); err != nil {
		return fmt.Errorf("write a session: %w", s.translate(err))
	}
	return nil
}

// HasSession reports whether a session has been started and has not ended.
func (s Sessions) HasSession(ctx context.Context, id string) (bool, error) {
	n, err := s.client.Exists(ctx, s.keys.session(id)).Result()
	if err != nil {
		return false, fmt.Errorf("read a session: %w", s.translate(err))
	}
	return n > 0, nil
}

// EndSession ends a session for all gateways.
func (s Sessions) EndSession(ctx context.Context, id string) error {
	if err := s.client.Del(ctx, s.keys.session(id)).Err(); err != nil {
		return fmt.Errorf("end a session: %w", s.translate(err))
	}
	return nil
}
