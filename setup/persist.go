package setup

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"davit/internal/backoff"
)

// persist calls try until it succeeds, its error is final, or ctx ends.
func persist(ctx context.Context, log *slog.Logger, what string, try func(context.Context) (final bool, err error)) error {
	const pause, once = time.Second, 5 * time.Second // once bounds a try, because a firewall may drop packets
	for {
		attempt, cancel := context.WithTimeout(ctx, once)
		final, err := try(attempt)
		cancel()
		if err == nil || final {
			return err
		}
		log.Info("waiting", "for", what, "error", err)
		if backoff.Pause(ctx, pause) != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
