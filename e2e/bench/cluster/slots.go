package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/e2e/bench/figure"
	"davit/e2e/bench/load"
)

// Aims of calls that find a slot.
const (
	aimWarm        = "<= 1.20"
	aimWarmCrowded = "<= 1.10"
	aimZero        = "<= 1.15"
	aimRefill      = ">= 0.90"
)

// measureWarm compares calls of a warm runner, and peers, with a server that forks in a pod of the same size.
func measureWarm(ctx context.Context, b *bench) (rows []figure.Row, err error) {
	f, floor, err := b.warm(ctx, "warm", 0, trueTrigger(), unkeptTrigger())
	if err != nil {
		return nil, err
	}
	hop, err := b.hop(ctx, f, floor)
	if err != nil {
		return nil, err
	}
	if err := f.awaitReady(ctx); err != nil {
		return nil, err
	}
	mark, err := audit(b.audit).mark()
	if err != nil {
		return nil, err
	}
	contests := []contest{{"warm", f.url("true"), true}, {"warm, keep none", f.url("unkept"), false}, {"no Davit: behind a bare proxy in another pod", hop.url("true"), false}}
	for _, p := range b.peers {
		contests = append(contests, contest{p.name, p.url, false})
	}
	calls := 0
	for _, callers := range []int{1, 4, crowd} {
		for _, c := range contests {
			d, fl, err := load.Compare(load.Target{URL: c.url}, load.Target{URL: floor.url("true")}, callers, b.each)
			if err != nil {
				return rows, err
			}
			calls += len(d.Times)
			aim := ""
			if c.aims {
				aim = map[int]string{1: aimWarm, crowd: aimWarmCrowded}[callers]
			}
			rows = append(rows, figure.Calls(fmt.Sprintf("%s, %d callers, floor: fork in a server in a pod", c.name, callers), d, fl, aim)...)
		}
	}
	more, err := f.warmWrites(mark, calls)
	rows = append(rows, more...)
	if err != nil {
		return rows, err
	}
	return rows, errors.Join(hop.stop(ctx), b.end(ctx, f, floor))
}

// contest is a server that is compared with the floor.
type contest struct {
	name, url string
	aims      bool
}

// warmWrites counts all writes of a function's objects at the API server during warm calls.
func (f *function) warmWrites(mark int64, calls int) ([]figure.Row, error) {
	if !audit(f.audit).isThere() {
		return nil, nil
	}
	entries, err := audit(f.audit).since(mark)
	if err != nil {
		return nil, err
	}
	runners := map[string]bool{"warm-" + f.name: true}
	n := writes(entries, f.functions, runners, "")
	return []figure.Row{figure.Of(fmt.Sprintf("API-server writes in %d warm calls", calls), "all", float64(n), "writes", 0, "0")}, nil
}

// measureZero compares calls of a warm function that has no runner with the start of a bare pod.
func measureZero(ctx context.Context, b *bench) ([]figure.Row, error) {
	f, err := b.register(ctx, "zero", `{"mode": "warm", "warm": {"min": 0, "max": 1, "idle": "1s"}, "timeout": "1m"}`, trueTrigger())
	if err != nil {
		return nil, err
	}
	if _, err := f.fromZero(ctx); err != nil { // once before, for the image and the pattern
		return nil, err
	}
	pattern, err := b.bare.like(ctx, f.name)
	if err != nil {
		return nil, err
	}
	var d, floor figure.Sample
	const one = 300 * time.Millisecond
	for range b.rounds(one, 100) {
		took, err := f.fromZero(ctx)
		if err != nil {
			return nil, err
		}
		pod, err := b.bare.podsFirstByte(ctx, pattern)
		if err != nil {
			return nil, err
		}
		d.Add(took)
		floor.Add(pod)
		b.trace("from zero %v, bare pod %v", took.Round(time.Millisecond), pod.Round(time.Millisecond))
		if err := b.settle(ctx); err != nil {
			return nil, err
		}
	}
	return figure.Calls("warm from zero, floor: a bare pod's first connection", &d, &floor, aimZero), b.unregister(ctx, f.name)
}

// fromZero calls a function that has no runner, and waits until it has none again.
func (f *function) fromZero(ctx context.Context) (time.Duration, error) {
	took, err := f.timed(ctx, "warm", nil)
	if err != nil {
		return 0, err
	}
	return took, f.awaitPods(ctx, 0)
}

// depth is how many standby runners are kept for bursts.
const depth = 4

// measureBursts measures bursts of calls, fewer and more than the standby runners, and how soon the runners are parked
// again.
func measureBursts(ctx context.Context, b *bench) (rows []figure.Row, err error) {
	spec, err := b.sized(ctx, fmt.Sprintf(`"mode": "job", "standby": %d`, depth), 6*depth)
	if err != nil {
		return nil, err
	}
	f, err := b.register(ctx, "bursts", spec, trueTrigger())
	if err != nil {
		return nil, err
	}
	if err := f.awaitParked(ctx, depth); err != nil {
		return nil, err
	}
	pattern, err := b.bare.like(ctx, f.name)
	if err != nil {
		return nil, err
	}
	bare := func(ctx context.Context) error { _, _, err := b.bare.firstByte(ctx, pattern); return err }
	for _, times := range []float64{.5, 1, 2, 4} {
		n := int(times * depth)
		var d, floor, refill figure.Sample
		for range b.rounds(2*time.Second, 5) {
			if err := f.burst(ctx, n, &d, &refill); err != nil {
				return rows, err
			}
			if err := b.atOnce(ctx, n, &floor, bare); err != nil {
				return rows, err
			}
		}
		rows = append(rows, figure.Of(fmt.Sprintf("%d calls at once on %d standbys, all answered, floor: bare Jobs", n, depth), "p50", d.Quantile(.5), "ms", floor.Quantile(.5), ""))
		if n == depth {
			perSecond := func(s *figure.Sample) float64 { return depth * 1000 / s.Quantile(.5) }
			rows = append(rows, figure.Of(fmt.Sprintf("%d standbys taken, all parked again, floor: bare Jobs", depth), "rate", perSecond(&refill), "pods/s", perSecond(&floor), aimRefill))
		}
	}
	return rows, b.unregister(ctx, f.name)
}

// burst makes n calls at the same time and waits until the standby runners are parked again.
func (f *function) burst(ctx context.Context, n int, into, refill *figure.Sample) error {
	began := time.Now()
	if err := atOnce(ctx, n, into, func(ctx context.Context) error { _, _, err := f.call(ctx, nil); return err }); err != nil {
		return err
	}
	if err := f.await(ctx, func(v *functionView) bool { return v.Slots["standby"].Free >= depth }); err != nil {
		return err
	}
	refill.Add(time.Since(began))
	f.trace("burst of %d %v, parked again after %v", n, into.Times[len(into.Times)-1].Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	return f.awaitParked(ctx, depth)
}

// measureResults compares results of different sizes with a server in a pod that makes the same files and writes them
// to the socket as an uncompressed zip.
func measureResults(ctx context.Context, b *bench) (rows []figure.Row, err error) {
	kinds := []string{"1-kb", "1-mb", "100-mb", "1000-files"}
	var triggers []trigger
	for _, kind := range kinds {
		triggers = append(triggers, trigger{name: kind, command: []string{"./davit-bench-work", "files", kind}, results: []string{"out/*"}})
	}
	f, floor, err := b.warm(ctx, "results", 0, triggers...)
	if err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		d, fl, err := load.Compare(load.Target{URL: f.url(kind)}, load.Target{URL: floor.url("files/" + kind)}, 1, b.each)
		if err != nil {
			return rows, err
		}
		rows = append(rows, figure.Calls(fmt.Sprintf("result of %s, warm, 1 caller, floor: stored zip on a socket", kind), d, fl, "")...)
	}
	return rows, b.end(ctx, f, floor)
}
