package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/rig"
)

// function is a function of this program with its triggers.
type function struct {
	*session

	name string
}

// trigger is a command and its results.
type trigger struct {
	name    string
	command []string
	results []string
	keep    string // "": all
}

func trueTrigger() trigger { return trigger{name: "true", command: []string{"true"}} }

// unkeptTrigger is the same, and nothing is stored.
func unkeptTrigger() trigger { return trigger{name: "unkept", command: []string{"true"}, keep: "none"} }

// register registers a function and its triggers, and waits until it is ready.
func (s *session) register(ctx context.Context, name, spec string, triggers ...trigger) (*function, error) {
	f := &function{session: s, name: ours + name}
	files := map[string]string{}
	for _, program := range []string{"davit-bench-work", "davit-bench"} {
		text, err := os.ReadFile(filepath.Join(s.bin, program))
		if err != nil {
			return nil, fmt.Errorf("read a program for pods (run `make build-bench` first): %w", err)
		}
		files[program] = string(text)
	}
	source, err := rig.PackFiles(files)
	if err != nil {
		return nil, err
	}
	if _, err := s.davit.RegisterSource(ctx, f.name, spec, source); err != nil {
		return nil, fmt.Errorf("register function %s: %w", f.name, err)
	}
	if err := f.await(ctx, func(v *functionView) bool { return v.State != "building" }); err != nil {
		return nil, err
	}
	for _, t := range triggers {
		text, err := json.Marshal(map[string]any{
			"function": f.name, "methods": []string{"POST"}, "path": f.path(t.name), "command": t.command, "results": append([]string{}, t.results...),
			"keep": firstOf(t.keep, "all"), "retention": "1m", // because the records are not needed later
		})
		if err != nil {
			return nil, err
		}
		if _, err := s.davit.RegisterTrigger(ctx, f.name+"-"+t.name, string(text)); err != nil {
			return nil, fmt.Errorf("register trigger %s of %s: %w", t.name, f.name, err)
		}
	}
	return f, nil
}

// url returns the URL of a trigger.
func (f *function) url(trigger string) string { return "http://" + f.davit.Calls + f.path(trigger) }

func (f *function) path(trigger string) string { return "/" + f.name + "/" + trigger }

// functionView is the part of a function in the API's answer that the benchmark reads.
type functionView struct {
	State  string `json:"state"`
	Detail string `json:"detail"`
	Slots  map[string]struct {
		Runners int `json:"runners"`
		Free    int `json:"free"`
		Busy    int `json:"busy"`
	} `json:"slots"`
}

// await waits until so returns true for the function.
func (f *function) await(ctx context.Context, so func(*functionView) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		a, err := f.davit.Admin(ctx, http.MethodGet, "/v1/functions/"+f.name, "", nil)
		if err != nil {
			return err
		}
		var v functionView
		if err := a.JSON(&v); err != nil {
			return err
		}
		if v.State == "failed" {
			return fmt.Errorf("function %s: %s", f.name, v.Detail)
		}
		if so(&v) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for function %s, whose slots are %v: %w", f.name, v.Slots, err)
		}
	}
}

// call calls the trigger that does nothing, and returns the time and the answer.
func (f *function) call(ctx context.Context, header http.Header) (time.Duration, *rig.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	a, err := f.davit.Call(ctx, http.MethodPost, f.path("true"), nil, header)
	took := time.Since(began)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("call %s: status %d: %.500s", f.path("true"), a.Status, a.Body)
	}
	return took, a, err
}

// asJob returns the header with which a call starts a job.
func asJob() http.Header { return http.Header{"Davit-Mode": {"job"}} }

// timed is call, and checks how its runner was started.
func (f *function) timed(ctx context.Context, start string, header http.Header) (time.Duration, error) {
	took, a, err := f.call(ctx, header)
	if err == nil && a.Header.Get("Davit-Start") != start {
		err = fmt.Errorf("call %s: it ran on a %s runner instead of %s", f.path("true"), a.Header.Get("Davit-Start"), start)
	}
	if err == nil {
		f.trace("%s call %v: %s", start, took, a.Header.Get("Server-Timing"))
	}
	return took, err
}

// awaitPods waits until n pods of the function's standby and warm runners have not ended.
func (f *function) awaitPods(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		working, err := f.working(ctx, f.functions, labelFunction+"="+f.name+","+labelStart+"!=job")
		if err != nil || working == n {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for %d pods of function %s, which has %d: %w", n, f.name, working, err)
		}
	}
}

// awaitReady waits until the cluster has written the readiness of a function's runners, which is its last write about
// them.
func (f *function) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		jobs, err := f.batch.Jobs(f.functions).List(ctx, metav1.ListOptions{LabelSelector: labelFunction + "=" + f.name})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(jobs.Items, func(j batchv1.Job) bool { return j.Status.Ready == nil || *j.Status.Ready == 0 }) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait until the runners of %s are ready on the cluster: %w", f.name, err)
		}
	}
}

// awaitParked waits until n standby runners are parked and all other pods of the function have ended.
func (f *function) awaitParked(ctx context.Context, n int) error {
	if err := f.await(ctx, func(v *functionView) bool { return v.Slots["standby"].Free == n && v.Slots["standby"].Runners == n }); err != nil {
		return err
	}
	if err := f.awaitPods(ctx, n); err != nil {
		return err
	}
	return f.settle(ctx)
}
