package records

import (
	"context"
	"time"
)

// New returns a Reader; Run must run beside it.
func New(o Options) *Reader { return &Reader{o} }

// Run removes what has outlived its retention, until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.sweep(ctx)
		}
	}
}
