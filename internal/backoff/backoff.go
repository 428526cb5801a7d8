// Package backoff waits between two attempts of something that failed: each wait is twice as long as the one before.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff waits Min before the first attempt is repeated, then twice as long each time, and never longer than Max. A
// Min of 0 repeats the first attempt at once, and a tenth of Max is the second wait. It is used by one goroutine.
type Backoff struct {
	Min, Max time.Duration
	Spread   bool // Wait adds or takes up to half at random, so that many that failed together do not repeat together

	next    time.Duration
	started bool
}

// Wait waits before the next attempt. The error is ctx's cause, if ctx ended first.
func (b *Backoff) Wait(ctx context.Context) error {
	wait := b.Next()
	if b.Spread && wait > 0 {
		wait = wait/2 + rand.N(wait) //nolint:gosec // guessing it gains nothing
	}
	return Pause(ctx, wait)
}

// Next returns how long the next wait is, and doubles it.
func (b *Backoff) Next() time.Duration {
	if !b.started {
		b.started, b.next = true, min(b.Min, b.Max)
	}
	wait := b.next
	if b.next = min(2*wait, b.Max); wait == 0 {
		b.next = b.Max / 10
	}
	return wait
}

// Reset starts anew with Min, after an attempt that succeeded.
func (b *Backoff) Reset() { b.started = false }

// Pause waits for d. The error is ctx's cause, if ctx ended first.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
