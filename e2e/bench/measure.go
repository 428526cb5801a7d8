package main

import (
	"bufio"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"davit/e2e/bench/figure"
	"davit/e2e/bench/load"
	"davit/e2e/rig"
	"davit/internal/faas"
	"davit/internal/faas/route"
)

// The functions of the benchmark. Their triggers are the same, with and without keeping.
const (
	warmSpec = `{"mode": "warm", "warm": {"min": 1, "max": 1, "concurrency": 8}, "timeout": "1m"}`
	jobSpec  = `{"mode": "job", "timeout": "1m"}`
)

// measureAll starts a gateway and measures everything.
func measureAll(ctx context.Context, bin string, each time.Duration, functions int) (rows []figure.Row, err error) {
	dir, err := os.MkdirTemp("/var/tmp", "davit-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // runners pass through it
		return nil, err
	}
	g, err := rig.Start(ctx, rig.Options{Bin: bin, Bare: true, Log: os.Stderr, Env: []string{
		"DAVIT_DATA_DIR=" + filepath.Join(dir, "data"), "DAVIT_LOG_LEVEL=warn", "DAVIT_CONSOLE_ADDR=127.0.0.1:0",
		"DAVIT_CALLS_ADDR=127.0.0.1:0", "DAVIT_RUNNER_ADDR=127.0.0.1:0", "DAVIT_DOWNLOAD_ADDR=127.0.0.1:0",
	}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Stop()) }()
	if err := registerAll(ctx, g); err != nil {
		return nil, err
	}
	floor, stopFloor, err := startSelf(ctx, "-floor", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer stopFloor()
	rows, err = measureCalls(g, floor, each)
	if err != nil {
		return nil, err
	}
	hops, err := measureHop(ctx, floor, each)
	if err != nil {
		return nil, err
	}
	rows = append(rows, hops...)
	jobs, err := measureJobs(ctx, g, bin, each)
	if err != nil {
		return nil, err
	}
	lookups, err := measureLookup(each)
	if err != nil {
		return nil, err
	}
	growth, err := measureGrowth(ctx, g, functions, each)
	return slices.Concat(rows, jobs, lookups, growth), err
}

func registerAll(ctx context.Context, g *rig.Gateway) error {
	source, err := rig.PackFiles(map[string]string{"readme": "nothing but commands of the system is run\n"})
	if err != nil {
		return err
	}
	for name, spec := range map[string]string{"warm": warmSpec, "job": jobSpec} {
		if _, err := g.RegisterSource(ctx, name, spec, source); err != nil {
			return err
		}
		for _, t := range []struct{ name, command, results, keep string }{
			{"true", `["true"]`, `[]`, "all"},
			{"true-unkept", `["true"]`, `[]`, "none"},
			{"copy", `["cp", "{files}", "out.bin"]`, `["out.bin"]`, "all"},
			{"copy-unkept", `["cp", "{files}", "out.bin"]`, `["out.bin"]`, "none"},
		} {
			spec := fmt.Sprintf(`{"function": %q, "methods": ["POST"], "path": "/%s/%s", "command": %s, "results": %s, "keep": %q}`, name, name, t.name, t.command, t.results, t.keep)
			if _, err := g.RegisterTrigger(ctx, name+"-"+t.name, spec); err != nil {
				return err
			}
		}
	}
	return nil
}

// startSelf starts this program as another process, because the gateway is one too.
func startSelf(ctx context.Context, args ...string) (addr string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(line), func() { _ = in.Close(); _ = cmd.Wait() }, err
}

func measureCalls(g *rig.Gateway, floor string, each time.Duration) ([]figure.Row, error) {
	megabyte := make([]byte, 1<<20)
	_, _ = crand.Read(megabyte)
	body, contentType, err := rig.Form(rig.Part{Name: "file", Filename: "in.bin", ContentType: "application/octet-stream", Data: megabyte})
	if err != nil {
		return nil, err
	}
	var rows []figure.Row
	for _, w := range []struct {
		name, path, floor string
		body              []byte
		contentType       string
		aims              bool
	}{
		{"warm, true", "/warm/true", "/true", nil, "application/octet-stream", true},
		{"warm, true, keep none", "/warm/true-unkept", "/true", nil, "application/octet-stream", false},
		{"warm, 1 MB in and out", "/warm/copy", "/copy", body.Bytes(), contentType, true},
		{"warm, 1 MB, keep none", "/warm/copy-unkept", "/copy", body.Bytes(), contentType, false},
	} {
		for _, callers := range []int{1, 8} {
			d, f, err := load.Compare(load.Target{URL: "http://" + g.Calls + w.path, ContentType: w.contentType, Body: w.body}, load.Target{URL: "http://" + floor + w.floor, ContentType: w.contentType, Body: w.body}, callers, each)
			if err != nil {
				return nil, err
			}
			aim := ""
			if w.aims {
				aim = map[int]string{1: "<= 1.25", 8: "<= 1.10"}[callers]
			}
			rows = append(rows, figure.Calls(fmt.Sprintf("%s, %d callers", w.name, callers), d, f, aim)...)
		}
	}
	return rows, nil
}

// measureHop compares the floor behind a proxy process with the floor.
func measureHop(ctx context.Context, floor string, each time.Duration) ([]figure.Row, error) {
	hop, stop, err := startSelf(ctx, "-hop", floor)
	if err != nil {
		return nil, err
	}
	defer stop()
	var rows []figure.Row
	for _, callers := range []int{1, 8} {
		d, f, err := load.Compare(load.Target{URL: "http://" + hop + "/true"}, load.Target{URL: "http://" + floor + "/true"}, callers, each)
		if err != nil {
			return nil, err
		}
		rows = append(rows, figure.Calls(fmt.Sprintf("no Davit: true behind a bare proxy, %d callers", callers), d, f, "")...)
	}
	return rows, nil
}

// measureJobs compares a call that starts a runner with the start of that process alone.
func measureJobs(ctx context.Context, g *rig.Gateway, bin string, each time.Duration) ([]figure.Row, error) {
	davit, floor := &figure.Sample{}, &figure.Sample{}
	for began := time.Now(); time.Since(began) < 2*each; {
		at := time.Now()
		a, err := g.Call(ctx, "POST", "/job/true", nil, nil)
		if err != nil {
			return nil, err
		}
		if a.Status != 200 {
			return nil, fmt.Errorf("job call: status %d: %s", a.Status, a.Body)
		}
		davit.Add(time.Since(at))
		at = time.Now()
		if err := exec.CommandContext(ctx, filepath.Join(bin, "davit-runner"), "--version").Run(); err != nil {
			return nil, err
		}
		floor.Add(time.Since(at))
	}
	return figure.Calls("local job, true, 1 caller, floor: exec of the runner", davit, floor, ""), nil
}

// measureLookup compares finding a trigger among many with finding it among few: always the same ten, which are in the
// processor's cache, and any of all, which are not.
func measureLookup(each time.Duration) ([]figure.Row, error) {
	few, err := table(10)
	if err != nil {
		return nil, err
	}
	many, err := table(100_000)
	if err != nil {
		return nil, err
	}
	var rows []figure.Row
	for _, m := range []struct {
		name, aim string
		among     int
	}{{"trigger lookup, 10 busy among 100,000, floor: among 10", "<= 1.2", 10}, {"trigger lookup, any of 100,000, floor: of 10", "", 100_000}} {
		value, floor, err := lookups(many, few, m.among, each)
		if err != nil {
			return nil, err
		}
		rows = append(rows, figure.Of(m.name, "mean", value, "ns", floor, m.aim))
	}
	return rows, nil
}

// lookups returns the mean time of a lookup in each table, in ns, measured alternately.
func lookups(many, few *route.Table, among int, each time.Duration) (inMany, inFew float64, err error) {
	var spent [2]time.Duration
	var calls [2]int
	for began := time.Now(); time.Since(began) < each; {
		for i, t := range []*route.Table{many, few} {
			paths := somePaths([]int{among, 10}[i])
			at := time.Now()
			for _, path := range paths {
				if _, err := t.Match("POST", path); err != nil {
					return 0, 0, err
				}
			}
			spent[i] += time.Since(at)
			calls[i] += len(paths)
		}
	}
	mean := func(i int) float64 { return float64(spent[i].Nanoseconds()) / float64(calls[i]) }
	return mean(0), mean(1), nil
}

// somePaths returns random paths of n triggers.
func somePaths(n int) []string {
	paths := make([]string, 1000)
	for i := range paths {
		paths[i] = fmt.Sprintf("/t/%d/items/%d", rand.IntN(n), i) //nolint:gosec // any path will do
	}
	return paths
}

func table(n int) (*route.Table, error) {
	triggers := make([]*faas.Trigger, n)
	for i := range triggers {
		triggers[i] = &faas.Trigger{
			Name:        faas.TriggerName(fmt.Sprintf("t%d", i)),
			TriggerSpec: faas.TriggerSpec{Methods: []string{"POST"}, Path: fmt.Sprintf("/t/%d/items/:item", i)},
		}
	}
	return route.NewTable(triggers)
}
