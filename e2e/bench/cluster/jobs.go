package main

import (
	"context"
	"fmt"
	"time"

	"davit/e2e/bench/figure"
)

// Aims of calls that start a Job.
const (
	aimJob   = "<= 1.25"
	aimNaive = "<= 0.20"
	aimMany  = "<= 1.15"
)

// measureJobs compares a call that starts a Job with the start of that Job's process alone, and with a client that
// waits for the Job's status. It also counts the writes of each at the API server. It does all of that again without
// volumes.
func measureJobs(ctx context.Context, b *bench) (rows []figure.Row, err error) {
	for _, of := range []struct{ name, kind, spec string }{
		{"job", "job call", `{"mode": "job", "timeout": "1m"}`},
		{"job-root", "job call, writable root", `{"mode": "job", "timeout": "1m", "writable_root": true}`},
	} {
		f, err := b.register(ctx, of.name, of.spec, trueTrigger())
		if err != nil {
			return rows, err
		}
		t, err := b.jobTurns(ctx, f, of.kind)
		if err != nil {
			return rows, err
		}
		rows = append(rows, figure.Calls(of.kind+", 1 caller, floor: a bare Job's first byte", &t.davit, &t.bare, aimJob)...)
		rows = append(rows, figure.Of(of.kind+", floor: naive client", "p50", t.davit.Quantile(.5), "ms", t.naive.Quantile(.5), aimNaive))
		rows = append(rows, t.writes...)
		if err := b.unregister(ctx, f.name); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// jobTurns is the result of alternate measurements.
type jobTurns struct {
	davit, bare, naive figure.Sample
	writes             []figure.Row
}

func (b *bench) jobTurns(ctx context.Context, f *function, kind string) (*jobTurns, error) {
	pattern, err := b.firstCalls(ctx, f)
	if err != nil {
		return nil, err
	}
	var t jobTurns
	calls, bares := map[string]bool{}, map[string]bool{}
	mark, err := audit(f.audit).mark()
	if err != nil {
		return nil, err
	}
	const one = 300 * time.Millisecond
	for range f.rounds(one, 100) {
		took, a, err := f.call(ctx, nil)
		if err != nil {
			return nil, err
		}
		t.davit.Add(took)
		calls["call-"+a.Header.Get("Davit-Invocation")] = true
		f.trace("job call %v: %s", took.Round(time.Millisecond), a.Header.Get("Server-Timing"))
		if err := f.settle(ctx); err != nil {
			return nil, err
		}
		took, name, err := b.bare.firstByte(ctx, pattern)
		if err != nil {
			return nil, err
		}
		t.bare.Add(took)
		bares[name] = true
		f.trace("bare Job %v", took.Round(time.Millisecond))
		if err := f.settle(ctx); err != nil {
			return nil, err
		}
		if took, err = b.bare.naive(ctx, pattern); err != nil {
			return nil, err
		}
		t.naive.Add(took)
		f.trace("naive client %v", took.Round(time.Millisecond))
	}
	t.writes, err = f.jobWrites(ctx, kind, mark, calls, bares)
	return &t, err
}

// jobWrites counts the writes of calls and of bare Jobs at the API server, after all Jobs are complete.
func (f *function) jobWrites(ctx context.Context, kind string, mark int64, calls, bares map[string]bool) ([]figure.Row, error) {
	log := audit(f.audit)
	if !log.isThere() {
		f.say("there is no audit log %s to count writes in: see -audit", log)
		return nil, nil
	}
	for namespace, jobs := range map[string]map[string]bool{f.functions: calls, bareNamespace: bares} {
		for name := range jobs {
			if err := f.awaitJob(ctx, namespace, name); err != nil {
				return nil, err
			}
		}
	}
	entries, err := log.since(mark)
	if err != nil {
		return nil, err
	}
	each := func(namespace string, jobs map[string]bool, by string) float64 {
		return float64(writes(entries, namespace, jobs, by)) / float64(len(jobs))
	}
	name := "API-server writes per " + kind + ", floor: a bare Job's"
	return []figure.Row{
		figure.Of(name, "all", each(f.functions, calls, ""), "writes", each(bareNamespace, bares, ""), ""),
		figure.Of(name, "the client's own", each(f.functions, calls, "davit-gateway"), "writes", each(bareNamespace, bares, userAgent), ""),
	}, nil
}

// measureMany compares many calls at the same time with as many bare Jobs.
func measureMany(ctx context.Context, b *bench) (rows []figure.Row, err error) {
	const most, spare = 40, 4
	free, err := b.freeCPU(ctx)
	if err != nil {
		return nil, err
	}
	// So small that all fit at the same time and none waits for a node.
	spec := fmt.Sprintf(`{"mode": "job", "timeout": "1m", "max_concurrency": %d, "resources": {"cpu": "%dm", "memory": "128Mi", "disk": "256Mi"}}`, most, max(1, free/(most+spare)))
	f, err := b.register(ctx, "many", spec, trueTrigger())
	if err != nil {
		return nil, err
	}
	pattern, err := b.firstCalls(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, n := range []int{10, most} {
		d, floor := &figure.Sample{}, &figure.Sample{}
		for range b.rounds(2*time.Second, 5) {
			if err := b.atOnce(ctx, n, d, func(ctx context.Context) error { _, _, err := f.call(ctx, nil); return err }); err != nil {
				return nil, err
			}
			if err := b.atOnce(ctx, n, floor, func(ctx context.Context) error { _, _, err := b.bare.firstByte(ctx, pattern); return err }); err != nil {
				return nil, err
			}
		}
		aim := ""
		if n == most {
			aim = aimMany
		}
		rows = append(rows, figure.Of(fmt.Sprintf("%d job calls at once, all answered, floor: bare Jobs", n), "p50", d.Quantile(.5), "ms", floor.Quantile(.5), aim))
	}
	return rows, b.unregister(ctx, f.name)
}
