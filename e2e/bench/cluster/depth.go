package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"davit/e2e/bench/figure"
)

const (
	// callsPerSecond is the rate in an episode of calls: sometimes more than one standby runner serves, less than two
	// cores start pods for.
	callsPerSecond = 1
	deepest        = 6
	episodes       = 2 // of calls, each followed by one without
)

// kept is the measurement of a function under the load.
type kept struct {
	calls  figure.Sample
	found  int   // calls that found a parked runner
	parked []int // samples of how many runners were parked
}

// measureDepth measures calls that come in episodes, at random, with one standby runner, with many, and with as many as
// demand needs.
func measureDepth(ctx context.Context, b *bench) ([]figure.Row, error) {
	var of []*kept
	for _, standby := range []string{`{"min": 1, "max": 6}`, `{"min": 1, "max": 1}`, `{"min": 6, "max": 6}`} {
		k, err := b.depth(ctx, standby)
		if err != nil {
			return nil, err
		}
		b.trace("standby %s: %d calls, %d found one, %.1f parked", standby, len(k.calls.Times), k.found, k.mean())
		of = append(of, k)
	}
	follows, few, many := of[0], of[1], of[2]
	share := func(k *kept) float64 { return 100 * float64(k.found) / float64(len(k.calls.Times)) }
	name := fmt.Sprintf("%d calls/s now and then, 1 to %d standbys by demand", callsPerSecond, deepest)
	return []figure.Row{
		figure.Of(name+", floor: always 1", "p50", follows.calls.Quantile(.5), "ms", few.calls.Quantile(.5), ""),
		figure.Of(name+", floor: always 1", "found one", share(follows), "% of calls", share(few), ""),
		figure.Of(name+fmt.Sprintf(", floor: always %d", deepest), "p50", follows.calls.Quantile(.5), "ms", many.calls.Quantile(.5), ""),
		figure.Of(name+fmt.Sprintf(", floor: always %d", deepest), "found one", share(follows), "% of calls", share(many), ""),
		figure.Of(name+fmt.Sprintf(", floor: always %d", deepest), "parked, mean", follows.mean(), "pods", many.mean(), ""),
	}, nil
}

// mean returns how many runners were parked, on average.
func (k *kept) mean() float64 {
	sum := 0
	for _, n := range k.parked {
		sum += n
	}
	return float64(sum) / float64(max(len(k.parked), 1))
}

// depth measures a function with that standby setting under the load.
func (b *bench) depth(ctx context.Context, standby string) (*kept, error) {
	spec, err := b.sized(ctx, `"mode": "job", "standby": `+standby, 4*deepest)
	if err != nil {
		return nil, err
	}
	f, err := b.register(ctx, "depth", spec, trueTrigger())
	if err != nil {
		return nil, err
	}
	if err := f.await(ctx, func(v *functionView) bool { return v.Slots["standby"].Free > 0 }); err != nil {
		return nil, err
	}
	k := &kept{}
	stop, over := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { k.watch(stop, f) })
	err = k.load(ctx, f)
	over()
	watching.Wait()
	return k, cmp.Or(err, b.unregister(ctx, f.name), b.settle(ctx))
}

// watch samples how many runners are parked, until ctx ends.
func (k *kept) watch(ctx context.Context, f *function) {
	for ctx.Err() == nil {
		_ = f.await(ctx, func(v *functionView) bool {
			k.parked = append(k.parked, v.Slots["standby"].Free)
			return true
		})
		wait(ctx, 200*time.Millisecond)
	}
}

// load makes the calls, at the same times for all functions.
func (k *kept) load(ctx context.Context, f *function) error {
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a benchmark's
	var mu sync.Mutex
	var calls sync.WaitGroup
	var failed error
	for range episodes {
		for end := time.Now().Add(f.each); time.Now().Before(end); {
			wait(ctx, time.Duration(dice.ExpFloat64()*float64(time.Second)/callsPerSecond))
			calls.Go(func() {
				took, a, err := f.call(ctx, nil)
				mu.Lock()
				defer mu.Unlock()
				failed = cmp.Or(failed, err)
				if err == nil {
					k.calls.Add(took)
					if a.Header.Get("Davit-Start") == "standby" {
						k.found++
					}
				}
			})
		}
		calls.Wait()
		wait(ctx, f.each)
	}
	return cmp.Or(failed, ctx.Err())
}
