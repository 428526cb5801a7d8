package setup

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// persist tries until it works, is known not to (final), or the time is over.
func persist(ctx context.Context, log *slog.Logger, what string, try func(context.Context) (final bool, err error)) error {
	const pause, once = time.Second, 5 * time.Second // what drops packets answers nothing at all
	for {
		attempt, cancel := context.WithTimeout(ctx, once)
		final, err := try(attempt)
		cancel()
		if err == nil || final {
			return err
		}
		log.Info("waiting", "for", what, "because", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(pause):
		}
	}
}
