package register

import (
	"context"
	"log/slog"
)

// edgeLog logs an error of a repeated action when it first appears, and when the action succeeds again.
type edgeLog struct {
	log     *slog.Logger
	what    string // the action
	failing bool
}

// note logs a change. Errors after the end of ctx are not logged.
func (l *edgeLog) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !l.failing:
		l.log.Warn("failing", "what", l.what, "error", err)
	case err == nil && l.failing:
		l.log.Info("recovered", "what", l.what)
	}
	l.failing = err != nil
}
