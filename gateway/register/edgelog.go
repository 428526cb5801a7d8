package register

import (
	"context"
	"log/slog"
)

// edgeLog logs the first error of a repeated action, and the first success after errors.
type edgeLog struct {
	log     *slog.Logger
	what    string // the action
	failing bool
}

// record logs the result of the action if it differs from the last one. It logs nothing after the end of ctx.
func (l *edgeLog) record(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !l.failing:
		l.log.Warn("failing", "what", l.what, "error", err)
	case err == nil && l.failing:
		l.log.Info("recovered", "what", l.what)
	}
	l.failing = err != nil
}
