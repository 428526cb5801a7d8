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

// trigger is a command and what is returned of it.
type trigger struct {
	name    string
	command []string
	results []string
	keep    string // "": all
}

func trueTrigger() trigger { return trigger{name: "true", command: []string{"true"}} }

// unkeptTrigger is the same with nothing kept in the store.
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
			"keep": firstOf(t.keep, "all"), "retention": "1m", // nothing of this is of use later
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

// url is where a trigger is called.
func (f *function) url(trigger string) string { return "http://" + f.davit.Calls + f.path(trigger) }

func (f *function) path(trigger string) string { return "/" + f.name + "/" + trigger }

// functionView is what Davit says of a function.
type functionView struct {
	State  string `json:"state"`
	Detail string `json:"detail"`
	Slots  map[string]struct {
		Runners int `json:"runners"`
		Free    int `json:"free"`
		Busy    int `json:"busy"`
	} `json:"slots"`
}

// await waits until what Davit says of a function is so.
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

// call calls the trigger that does nothing, and returns what it took and its answer.
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

// asJob asks for a runner of the call's own.
func asJob() http.Header { return http.Header{"Davit-Mode": {"job"}} }

// timed is call, and checks in what way it got its runner.
func (f *function) timed(ctx context.Context, start string, header http.Header) (time.Duration, error) {
	took, a, err := f.call(ctx, header)
	if err == nil && a.Header.Get("Davit-Start") != start {
		err = fmt.Errorf("call %s: it was run on a %s runner, and not %s", f.path("true"), a.Header.Get("Davit-Start"), start)
	}
	if err == nil {
		f.trace("%s call %v: %s", start, took, a.Header.Get("Server-Timing"))
	}
	return took, err
}

// awaitPods waits until so many pods of standby and warm runners of a function work.
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

// awaitReady waits until the cluster has written down that the runners of a function run: the last that it writes of them.
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
			return fmt.Errorf("wait until the cluster has noticed the runners of %s: %w", f.name, err)
		}
	}
}

// awaitParked waits until so many standbys are parked, and nothing else of the function works any more.
func (f *function) awaitParked(ctx context.Context, n int) error {
	if err := f.await(ctx, func(v *functionView) bool { return v.Slots["standby"].Free == n && v.Slots["standby"].Runners == n }); err != nil {
		return err
	}
	if err := f.awaitPods(ctx, n); err != nil {
		return err
	}
	return f.settle(ctx)
}
