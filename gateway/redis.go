package gateway

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"davit/gateway/embedded"
	"davit/gateway/redisstore"
	"davit/internal/faas/route"
)

// openRedis starts the embedded Redis, or connects to the one that is set, and receives its messages.
func openRedis(ctx context.Context, cfg *Config, log *slog.Logger, life *life) (*redisstore.Store, error) {
	address := cfg.RedisURL
	if address == "" {
		server, err := embedded.Start(ctx, embedded.Options{Dir: filepath.Join(cfg.DataDir, "redis"), Password: uuid.NewString(), Log: log})
		if err != nil {
			return nil, err
		}
		address = server.URL()
		life.start("embedded Redis", func(context.Context) error { return watchJournal(server.Err(), log) })
		life.onStop("embedded Redis", func() {
			if err := server.Close(); err != nil {
				log.Error("closing the embedded Redis failed", "error", err)
			}
		})
	}
	store, err := redisstore.Open(ctx, redisstore.Options{URL: address, Endpoints: route.Endpoints, Log: log, Now: time.Now})
	if err != nil {
		return nil, err
	}
	life.onStop("Redis connections", func() { _ = store.Close() })
	if err := store.Ready(ctx); err != nil {
		return nil, err
	}
	life.start("subscriptions", store.Run)
	return store, nil
}

// watchJournal logs why the embedded Redis refuses writes, until the server is closed.
func watchJournal(failures <-chan error, log *slog.Logger) error {
	for err := range failures {
		log.Error("the journal of the embedded Redis cannot be written; registrations and calls are refused until it can", "error", err)
	}
	return nil
}
