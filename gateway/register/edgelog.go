package register

import (
	"context"
	"log/slog"
)

// flank logs an error when it appears and when it is gone, not each time.
type flank struct {
	log  *slog.Logger
	what string
	bad  bool
}

func (f *flank) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !f.bad:
		f.log.Warn("something cannot be done now", "what", f.what, "error", err)
	case err == nil && f.bad:
		f.log.Info("it can be done again", "what", f.what)
	}
	f.bad = err != nil
}
