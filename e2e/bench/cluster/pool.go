package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"davit/e2e/bench/figure"
)

// poolSize is how many pods are kept.
const poolSize = 4

// pool is the cost of keeping pods, each of which is replaced as soon as its process has connected.
type pool struct {
	took  time.Duration
	heard int
	jobs  map[string]bool
	mark  int64 // of the audit log
}

func (p *pool) rate() float64 { return float64(p.heard) / p.took.Seconds() }

// measurePool compares two ways of keeping pods: one Job for each, as Davit does, and one Indexed Job whose pods
// Kubernetes replaces.
func measurePool(ctx context.Context, b *bench) ([]figure.Row, error) {
	spec, err := b.sized(ctx, `"mode": "job"`, 3*poolSize)
	if err != nil {
		return nil, err
	}
	f, err := b.register(ctx, "pool", spec, trueTrigger())
	if err != nil {
		return nil, err
	}
	pattern, err := b.firstCalls(ctx, f)
	if err != nil {
		return nil, err
	}
	var rates, writes []float64
	for _, keep := range []func(context.Context, *batchv1.Job) (*pool, error){b.bare.poolOfJobs, b.bare.indexedPool} {
		p, err := keep(ctx, pattern)
		if err != nil {
			return nil, err
		}
		rates = append(rates, p.rate())
		if n, counted, err := b.poolWrites(p); err != nil {
			return nil, err
		} else if counted {
			writes = append(writes, n)
		}
	}
	name := fmt.Sprintf("%d pods kept as one Indexed Job, floor: as a Job each", poolSize)
	rows := []figure.Row{figure.Of(name, "replaced", rates[1], "pods/s", rates[0], "")}
	if len(writes) == 2 {
		rows = append(rows, figure.Of(name, "API-server writes", writes[1], "a pod", writes[0], ""))
	}
	return rows, b.unregister(ctx, f.name)
}

// poolWrites returns the writes per pod at the API server. counted is false if there is no audit log.
func (b *bench) poolWrites(p *pool) (n float64, counted bool, err error) {
	log := audit(b.audit)
	if !log.isThere() {
		return 0, false, nil
	}
	entries, err := log.since(p.mark)
	return float64(writes(entries, bareNamespace, p.jobs, "")) / float64(p.heard), true, err
}

// newPool returns a pool that starts now.
func (j *bareJobs) newPool() (*pool, error) {
	mark, err := audit(j.audit).mark()
	return &pool{jobs: map[string]bool{}, mark: mark}, err
}

// poolOfJobs keeps pods by creating a Job whenever a process has connected.
func (j *bareJobs) poolOfJobs(ctx context.Context, pattern *batchv1.Job) (*pool, error) {
	p, err := j.newPool()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var mu sync.Mutex
	var failed error
	var keepers sync.WaitGroup
	for range poolSize {
		keepers.Go(func() {
			for time.Since(began) < j.each {
				_, name, err := j.firstByte(ctx, pattern)
				mu.Lock()
				failed = errors.Join(failed, err)
				p.jobs[name] = true
				p.heard++
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	keepers.Wait()
	p.took = time.Since(began)
	for name := range p.jobs {
		failed = errors.Join(failed, j.awaitJob(ctx, bareNamespace, name))
	}
	return p, errors.Join(failed, j.settle(ctx))
}

// indexedPool keeps pods by one Indexed Job.
func (j *bareJobs) indexedPool(ctx context.Context, pattern *batchv1.Job) (*pool, error) {
	p, err := j.newPool()
	if err != nil {
		return nil, err
	}
	job := j.named(pattern)
	p.jobs[job.Name] = true
	indexed, size, many := batchv1.IndexedCompletion, int32(poolSize), int32(100_000)
	job.Spec.CompletionMode, job.Spec.Parallelism, job.Spec.Completions = &indexed, &size, &many
	job.Spec.Template.Spec.Containers[0].Command = j.dials(job.Name)
	heard, forget := j.listener.expectAll(job.Name)
	defer forget()
	began := time.Now()
	if _, err := j.batch.Jobs(bareNamespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create %s: %w", job.Name, err)
	}
	for over := time.After(j.each); p.took == 0; {
		select {
		case <-heard:
			p.heard++
		case <-over:
			p.took = time.Since(began)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if p.heard == 0 {
		return nil, fmt.Errorf("no process of %s connected within %v", job.Name, j.each)
	}
	none := []byte(`{"spec": {"parallelism": 0}}`)
	if _, err := j.batch.Jobs(bareNamespace).Patch(ctx, job.Name, types.StrategicMergePatchType, none, metav1.PatchOptions{}); err != nil {
		return nil, fmt.Errorf("stop %s: %w", job.Name, err)
	}
	return p, j.settle(ctx)
}
