package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
)

// workProgram is the path of e2e/bench/work in the functions' image.
const workProgram = "/function/davit-bench-work"

// bareJobs makes Jobs without Davit, with pods like Davit's and another command.
type bareJobs struct {
	*session

	count atomic.Int64
}

// newBareJobs makes their namespace.
func newBareJobs(ctx context.Context, s *session) (*bareJobs, error) {
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: bareNamespace,
		// So that admission treats these pods like Davit's.
		Labels: map[string]string{"app.kubernetes.io/name": bareNamespace, "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"},
	}}
	_, err := s.core.Namespaces().Create(ctx, own, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make the namespace of bare Jobs: %w", err)
	}
	return &bareJobs{session: s}, nil
}

// like returns the Job of one of the function's runners as a pattern for bare Jobs: same image, same pod.
func (j *bareJobs) like(ctx context.Context, function string) (*batchv1.Job, error) {
	jobs, err := j.batch.Jobs(j.functions).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{labelFunction: function}.String()})
	if err != nil {
		return nil, err
	}
	if len(jobs.Items) == 0 {
		return nil, fmt.Errorf("there is no Job of function %s to copy", function)
	}
	own := map[string]string{"app.kubernetes.io/name": bareNamespace}
	spec := jobs.Items[0].Spec
	spec.Selector, spec.ManualSelector = nil, nil
	spec.Template.ObjectMeta = metav1.ObjectMeta{Labels: own}
	spec.Template.Spec.Containers[0].Env = nil
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: bareNamespace, Labels: own}, Spec: spec}, nil
}

// named returns a copy of a pattern with a unique name and the command.
func (j *bareJobs) named(pattern *batchv1.Job, command ...string) *batchv1.Job {
	job := pattern.DeepCopy()
	job.Name = fmt.Sprintf("bare-%d", j.count.Add(1))
	job.Spec.Template.Spec.Containers[0].Command = command
	return job
}

// firstByte creates a Job and returns the time until its process connected.
func (j *bareJobs) firstByte(ctx context.Context, pattern *batchv1.Job) (took time.Duration, name string, err error) {
	job := j.named(pattern)
	job.Spec.Template.Spec.Containers[0].Command = j.dials(job.Name)
	took, err = j.hear(ctx, job.Name, func() error {
		_, err := j.batch.Jobs(bareNamespace).Create(ctx, job, metav1.CreateOptions{})
		return err
	})
	return took, job.Name, err
}

// podsFirstByte is firstByte for a pod without a Job.
func (j *bareJobs) podsFirstByte(ctx context.Context, pattern *batchv1.Job) (time.Duration, error) {
	job := j.named(pattern)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name, Namespace: bareNamespace, Labels: job.Labels}, Spec: job.Spec.Template.Spec}
	pod.Spec.Containers[0].Command = j.dials(pod.Name)
	return j.hear(ctx, pod.Name, func() error {
		_, err := j.core.Pods(bareNamespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

func (j *bareJobs) dials(name string) []string {
	return []string{workProgram, "dial", j.listener.address(), name}
}

// hear calls create and returns the time until the process of that name connected.
func (j *bareJobs) hear(ctx context.Context, name string, create func() error) (time.Duration, error) {
	heard := j.listener.expect(name)
	began := time.Now()
	if err := create(); err != nil {
		return 0, fmt.Errorf("create %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case at := <-heard:
		return at.Sub(began), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the connection of %s at %s: %w", name, j.listener.address(), context.Cause(ctx))
	}
}

// naive does what a good client without Davit does: it creates a Job, watches it until it is complete, and reads its
// log.
func (j *bareJobs) naive(ctx context.Context, pattern *batchv1.Job) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	job := j.named(pattern, workProgram, "true")
	began := time.Now()
	made, err := j.batch.Jobs(bareNamespace).Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("create a bare Job: %w", err)
	}
	if err := j.awaitComplete(ctx, made); err != nil {
		return 0, fmt.Errorf("wait until Job %s is complete: %w", job.Name, err)
	}
	pods, err := j.core.Pods(bareNamespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{batchv1.JobNameLabel: job.Name}.String()})
	if err != nil {
		return 0, err
	}
	for i := range pods.Items {
		log, err := j.core.Pods(bareNamespace).GetLogs(pods.Items[i].Name, &corev1.PodLogOptions{}).Stream(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the log of Job %s: %w", job.Name, err)
		}
		_, err = io.Copy(io.Discard, log)
		_ = log.Close()
		if err != nil {
			return 0, fmt.Errorf("read the log of Job %s: %w", job.Name, err)
		}
	}
	return time.Since(began), nil
}

func (j *bareJobs) awaitComplete(ctx context.Context, job *batchv1.Job) error {
	w, err := j.batch.Jobs(bareNamespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + job.Name, ResourceVersion: job.ResourceVersion})
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		seen, ok := event.Object.(*batchv1.Job)
		if ctx.Err() != nil {
			break
		}
		if !ok || event.Type == watch.Deleted {
			return fmt.Errorf("the watch says %s", event.Type)
		}
		if isComplete(seen) {
			return nil
		}
	}
	return context.Cause(ctx)
}
