package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"davit/e2e/bench/figure"
)

// bench is one run.
type bench struct {
	options
	*place

	desk *desk
	bare *bareJobs
}

// part is something to measure, with functions of its own.
type part struct {
	name    string
	measure func(context.Context, *bench) ([]figure.Row, error)
}

func parts() []part {
	return []part{
		{"jobs", measureJobs},
		{"many", measureMany},
		{"standby", measureStandby},
		{"warm", measureWarm},
		{"zero", measureZero},
		{"bursts", measureBursts},
		{"depth", measureDepth},
		{"pool", measurePool},
		{"results", measureResults},
	}
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// cleanWithin is how long removing what was made may take.
const cleanWithin = 2 * time.Minute

// run measures everything and returns the rows that it has, whatever the error.
func run(ctx context.Context, o *options) (rows []figure.Row, err error) {
	p, err := findPlace(ctx, o)
	if err != nil {
		return nil, err
	}
	b := &bench{options: *o, place: p}
	if b.desk, err = listen(ctx, p.host); err != nil {
		return nil, err
	}
	defer b.desk.close()
	if err := b.clean(ctx); err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		err = errors.Join(err, b.clean(ctx))
	}()
	if b.bare, err = newBareJobs(ctx, b); err != nil {
		return nil, err
	}
	for _, part := range parts() {
		if o.only != nil && !o.only[part.name] {
			continue
		}
		if err := b.vacate(ctx); err != nil {
			return rows, err
		}
		began := time.Now()
		more, err := part.measure(ctx, b)
		rows = append(rows, more...)
		if err != nil {
			return rows, fmt.Errorf("measure %s: %w", part.name, err)
		}
		b.say("%s: %v", part.name, time.Since(began).Round(time.Second))
	}
	return rows, nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench-cluster: "+format+"\n", args...)
}

// trace says what each turn took, when that is asked for.
func (b *bench) trace(format string, args ...any) {
	if b.verbose {
		b.say(format, args...)
	}
}

// rounds is how many of something that takes about so long belong into the time of a figure.
func (b *bench) rounds(one time.Duration, most int) int {
	return max(1, min(most, int(b.each/one)))
}
