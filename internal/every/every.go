// Package every does something again and again until a context ends.
package every

import (
	"context"
	"time"
)

// Interval calls do each time that period has passed, first after one period. It returns when ctx has ended; no call
// begins after that. Of the calls that were missed because one took longer than period, one follows at once. Interval
// panics if period is not positive.
func Interval(ctx context.Context, period time.Duration, do func(context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	onTick(ctx, tick, do)
}

// NowAndInterval calls do at once, even if ctx has ended, and then as Interval does.
func NowAndInterval(ctx context.Context, period time.Duration, do func(context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	do(ctx)
	onTick(ctx, tick, do)
}

func onTick(ctx context.Context, tick *time.Ticker, do func(context.Context)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return
		}
		do(ctx)
	}
}
