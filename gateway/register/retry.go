package register

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"davit/internal/backoff"
	"davit/internal/blob"
	"davit/internal/faas"
)

// retryEvery is the pause between two tries of an action that must succeed in the end.
const retryEvery = time.Second

// retry repeats try while the registry, the object store or the runners are unavailable. what names the action in the
// log.
func retry(ctx context.Context, log *slog.Logger, what string, try func() error) error {
	edge := edgeLog{log: log, what: what}
	for {
		err := try()
		edge.record(ctx, err)
		if err == nil || !faas.IsUnavailable(err) && !errors.Is(err, blob.ErrUnavailable) {
			return err
		}
		if err := backoff.Pause(ctx, retryEvery); err != nil {
			return err
		}
	}
}
