package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/e2e/bench/figure"
	"davit/e2e/bench/load"
	"davit/e2e/rig"
)

const (
	growthFew     = 10   // functions of the floor
	growthCalled  = 1000 // of the many functions, those with triggers
	growthCallers = 2
)

// measureGrowth registers many functions and calls a thousand of them, alternately with ten others, to show that the
// time of a call does not depend on their number. It also measures the memory that a function costs.
func measureGrowth(ctx context.Context, g *rig.Gateway, functions int, each time.Duration) ([]figure.Row, error) {
	if functions == 0 {
		return nil, nil
	}
	few, err := registerMany(ctx, g, "few", growthFew, growthFew)
	if err != nil {
		return nil, err
	}
	before := residentBytes(g)
	began := time.Now()
	many, err := registerMany(ctx, g, "many", functions, min(growthCalled, functions))
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	after := residentBytes(g)
	d, f, err := load.Compare(load.Target{Among: many, ContentType: "text/plain"}, load.Target{Among: few, ContentType: "text/plain"}, growthCallers, 4*each)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("local job, any of %d triggers among %d functions, floor: any of %d", len(many), functions, growthFew)
	rows := figure.Calls(name, d, f, "")
	rows[1].Aim = "<= 1.2"
	return append(
		rows,
		figure.Of("gateway's memory for each function", "resident", (after-before)/float64(functions)/1024, "KiB", 0, ""),
		figure.Of("functions registered, 8 at once", "rate", float64(functions)/took.Seconds(), "functions/s", 0, ""),
	), nil
}

// registerMany registers functions of one source, the first of them with triggers, and returns the triggers' URLs.
func registerMany(ctx context.Context, g *rig.Gateway, name string, functions, called int) ([]string, error) {
	source, err := rig.PackFiles(map[string]string{"readme": "nothing but commands of the system is run\n"})
	if err != nil {
		return nil, err
	}
	urls := make([]string, called)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range functions {
		group.Go(func() error {
			fn := name + "-" + strconv.Itoa(i)
			if _, err := g.RegisterSource(ctx, fn, jobSpec, source); err != nil || i >= called {
				return err
			}
			urls[i] = "http://" + g.Calls + "/" + fn
			_, err := g.RegisterTrigger(ctx, fn, fmt.Sprintf(`{"function": %q, "methods": ["POST"], "path": "/%s", "command": ["true"], "keep": "none"}`, fn, fn))
			return err
		})
	}
	return urls, group.Wait()
}

// residentBytes returns the gateway's resident memory.
func residentBytes(g *rig.Gateway) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(g.Process.Pid) + "/statm")
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize())
}
