package records

import (
	"context"

	"davit/internal/every"
)

// New returns a Reader; Run must run beside it.
func New(o Options) *Reader { return &Reader{o} }

// Run removes what has outlived its retention, until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	every.Interval(ctx, sweepEvery, r.sweep)
	return nil
}
