package main

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"davit/e2e/bench/figure"
)

// Aims of calls that take a standby runner.
const (
	aimStandby    = "<= 1.30"
	aimBesideWarm = "<= 1.10"
)

// apart is the pause after a call, in which its uploads end.
const apart = 100 * time.Millisecond

// standbyTurns are calls that take a standby runner, and the calls that they are compared with.
type standbyTurns struct {
	standby, warm *function
	floor         *server
	pattern       *batchv1.Job // of a pod like theirs

	kept, warmed, jobs figure.Sample
	forked             figure.Sample // calls of a floor that has forked before
	first              figure.Sample // first calls of newly started floors, because a standby runner is new too
}

// measureStandby compares calls that take a standby runner, alternately, with a server that forks, with the first fork
// of a new server, with a warm runner, and with calls that start a Job.
func measureStandby(ctx context.Context, b *bench) ([]figure.Row, error) {
	warm, floor, err := b.warm(ctx, "warm", 2, trueTrigger())
	if err != nil {
		return nil, err
	}
	spec, err := b.sized(ctx, `"mode": "job", "standby": 1`, 4)
	if err != nil {
		return nil, err
	}
	standby, err := b.register(ctx, "standby", spec, trueTrigger())
	if err != nil {
		return nil, err
	}
	t := standbyTurns{standby: standby, warm: warm, floor: floor}
	if t.pattern, err = b.bare.like(ctx, warm.name); err != nil {
		return nil, err
	}
	const one = 200 * time.Millisecond
	for i := range b.rounds(one, 100) {
		if err := t.round(ctx, i); err != nil {
			return nil, err
		}
	}
	rows := figure.Calls("standby, 1 caller, floor: fork in a server in a pod", &t.kept, &t.forked, aimStandby)
	rows = append(rows,
		figure.Of("standby, floor: the first fork of a server in a fresh pod", "p50", t.kept.Quantile(.5), "ms", t.first.Quantile(.5), ""),
		figure.Of("standby, floor: our warm", "p50", t.kept.Quantile(.5), "ms", t.warmed.Quantile(.5), aimBesideWarm),
		figure.Of("standby, floor: our job call", "p50", t.kept.Quantile(.5), "ms", t.jobs.Quantile(.5), ""))
	if err := b.unregister(ctx, standby.name); err != nil {
		return rows, err
	}
	return rows, b.end(ctx, warm, floor)
}

// round makes one call of each kind, one after the other.
func (t *standbyTurns) round(ctx context.Context, i int) error {
	fresh, err := t.floor.serve(ctx, t.pattern, fmt.Sprintf("fresh-%d", i))
	if err != nil {
		return err
	}
	if err := t.standby.awaitParked(ctx, 1); err != nil {
		return err
	}
	for _, turn := range []struct {
		into *figure.Sample
		call func() (time.Duration, error)
	}{
		{&t.forked, func() (time.Duration, error) { return t.floor.call(ctx, "true") }},
		{&t.warmed, func() (time.Duration, error) { return t.warm.timed(ctx, "warm", nil) }},
		{&t.first, func() (time.Duration, error) { return fresh.call(ctx, "true") }},
		{&t.kept, func() (time.Duration, error) { return t.standby.timed(ctx, "standby", nil) }},
	} {
		wait(ctx, apart)
		took, err := turn.call()
		if err != nil {
			return err
		}
		turn.into.Add(took)
	}
	if err := fresh.stop(ctx); err != nil {
		return err
	}
	took, err := t.standby.timed(ctx, "job", asJob())
	t.jobs.Add(took)
	return err
}
