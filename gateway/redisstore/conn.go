package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// conn is the connection to one Redis, with the keys and scripts that every part of a Store uses.
type conn struct {
	client  *redis.Client
	keys    keys
	log     *slog.Logger
	now     func() time.Time
	skew    atomic.Int64 // nanoseconds by which the server's clock is ahead
	scripts sync.Map     // source → *redis.Script
}

// Close closes all connections. Run must have returned before.
func (s *conn) Close() error {
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close Redis: %w", s.redact(err))
	}
	return nil
}

// Ready returns nil if Redis answers and takes writes.
func (s *conn) Ready(ctx context.Context) error {
	if err := s.client.Set(ctx, s.keys.ready(), s.now().UnixMilli(), 0).Err(); err != nil {
		return fmt.Errorf("check Redis: %w", s.translate(err))
	}
	return nil
}

// secretBytes is the length of the installation's secret.
const secretBytes = 32

// Secret returns the installation's random bytes, which are the same for every gateway. The first gateway creates them.
func (s *conn) Secret(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, secretBytes)
	_, _ = rand.Read(fresh) // never fails
	if err := s.client.SetNX(ctx, s.keys.secret(), hex.EncodeToString(fresh), 0).Err(); err != nil {
		return nil, fmt.Errorf("make the installation's secret: %w", s.translate(err))
	}
	text, err := s.client.Get(ctx, s.keys.secret()).Result()
	if err != nil {
		return nil, fmt.Errorf("read the installation's secret: %w", s.translate(err))
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("read the installation's secret: %w", errReply("a value of another form"))
	}
	return secret, nil
}

// script returns the script with that source. It returns the same *redis.Script for the same source.
func (s *conn) script(source string) *redis.Script {
	if found, ok := s.scripts.Load(source); ok {
		return found.(*redis.Script)
	}
	made, _ := s.scripts.LoadOrStore(source, redis.NewScript(source))
	return made.(*redis.Script)
}

// eval runs a script once.
func (s *conn) eval(ctx context.Context, source string, keys []string, args ...any) *redis.Cmd {
	return s.script(source).Run(ctx, s.client, keys, args...)
}

// call is one run of a script among many.
type call struct {
	keys []string
	args []any
}

// evalAll runs a script once for each call, pipelined and in order. It returns the replies in that order.
func (s *conn) evalAll(ctx context.Context, source string, calls []call) ([]*redis.Cmd, error) {
	script := s.script(source)
	if err := script.Load(ctx, s.client).Err(); err != nil {
		return nil, err
	}
	pipe := s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, c := range calls {
		err := cmds[i].Err()
		if errors.Is(err, redis.ErrNoScript) || redis.HasErrorPrefix(err, "NOSCRIPT") {
			cmds[i] = script.Run(ctx, s.client, c.keys, c.args...)
			err = cmds[i].Err()
		}
		if err != nil {
			return nil, err
		}
	}
	return cmds, nil
}

// translate returns an error of the client as a *faas.Error without the password.
func (s *conn) translate(err error) error { return translate(err, s.client.Options().Password) }

func (s *conn) redact(err error) error { return redact(err, s.client.Options().Password) }
