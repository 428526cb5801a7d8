package recovery

import (
	"context"
	"time"
)

const (
	uploadsEvery = 5 * time.Minute
	uploadIdle   = 50 * time.Minute // after which an upload counts as abandoned: its parts are gone within the hour
)

// sweepUploads aborts multipart uploads whose gateway or runner died over them.
func (r *Recoverer) sweepUploads(ctx context.Context) {
	if r.o.Uploads == nil {
		return
	}
	n, err := r.o.Uploads.SweepUploads(ctx, r.o.Now().Add(-uploadIdle))
	if n > 0 {
		r.o.Log.Info("swept abandoned uploads", "uploads", n)
	}
	if err != nil && ctx.Err() == nil {
		r.o.Log.Warn("sweeping abandoned uploads failed; retrying", "error", err)
	}
}
