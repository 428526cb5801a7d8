package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/bench/figure"
)

const (
	// ours is the prefix of the names of this program's functions.
	ours = "davit-bench-"
	// bareNamespace is the namespace of the bare Jobs. It has no network policies.
	bareNamespace = "davit-bench"
	// patience is how long this program waits for a pod.
	patience = 2 * time.Minute

	labelFunction = "davit.dev/function"
	labelStart    = "davit.dev/start"
)

// session is one run of this program: its options, the cluster, and the listener that pods dial.
type session struct {
	options
	*cluster

	listener *listener
}

// say prints a line to standard error.
func (s *session) say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench-cluster: "+format+"\n", args...)
}

// trace prints how long each turn took, if -v is set.
func (s *session) trace(format string, args ...any) {
	if s.verbose {
		s.say(format, args...)
	}
}

// rounds returns how many rounds of that length fit into the time of a figure: at least 1, at most most.
func (s *session) rounds(one time.Duration, most int) int {
	return max(1, min(most, int(s.each/one)))
}

// wait waits for that long, or until ctx ends.
func wait(ctx context.Context, long time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	}
}

// settle waits until the pods of all Jobs of this program have ended: those of calls, and the bare ones.
func (s *session) settle(ctx context.Context) error {
	return s.awaitOver(ctx, labelStart+"=job", "app.kubernetes.io/name="+bareNamespace)
}

// vacate waits until all pods of this program have ended, so that the next ones have room.
func (s *session) vacate(ctx context.Context) error {
	return s.awaitOver(ctx, labelFunction, "")
}

// awaitOver waits until the pods of functions and the bare pods that the selectors select have ended.
func (s *session) awaitOver(ctx context.Context, functions, bare string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		calls, err := s.working(ctx, s.functions, functions)
		if err != nil {
			return err
		}
		bares, err := s.working(ctx, bareNamespace, bare)
		if err != nil {
			return err
		}
		if calls+bares == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for the end of %d pods: %w", calls+bares, err)
		}
	}
}

// working counts the pods of this program that have not ended.
func (s *session) working(ctx context.Context, namespace, selector string) (n int, err error) {
	pods, err := s.core.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return 0, err
	}
	for i := range pods.Items {
		if isOurs(&pods.Items[i]) && !isOver(&pods.Items[i]) {
			n++
		}
	}
	return n, nil
}

func isOurs(pod *corev1.Pod) bool {
	return pod.Namespace == bareNamespace || strings.HasPrefix(pod.Labels[labelFunction], ours)
}

func isOver(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (s *session) unregister(ctx context.Context, name string) error {
	a, err := s.davit.Admin(ctx, http.MethodDelete, "/v1/functions/"+name+"?triggers=true", "", nil)
	if err == nil && a.Status/100 != 2 && a.Status != http.StatusNotFound {
		err = fmt.Errorf("remove function %s: status %d: %.300s", name, a.Status, a.Body)
	}
	return err
}

// isComplete reports whether the status of a Job is final.
func isComplete(job *batchv1.Job) bool {
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return true
		}
	}
	return false
}

// awaitJob waits until a Job's status is final.
func (s *session) awaitJob(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		job, err := s.batch.Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || isComplete(job) {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait until Job %s is complete: %w", name, err)
		}
	}
}

// atOnce calls do n times at the same time and records how long all took together.
func atOnce(ctx context.Context, n int, into *figure.Sample, do func(context.Context) error) error {
	failed := make([]error, n)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		wg.Go(func() { failed[i] = do(ctx) })
	}
	wg.Wait()
	into.Add(time.Since(began))
	return cmp.Or(failed...)
}

// sized returns a function's spec with such resources that fit pods fit on the nodes at the same time.
func (s *session) sized(ctx context.Context, spec string, fit int64) (string, error) {
	const forServers = 20 // thousandths of a core
	free, err := s.freeCPU(ctx)
	return fmt.Sprintf(`{%s, "timeout": "1m", "max_concurrency": 64, "resources": {"cpu": "%dm", "memory": "512Mi", "disk": "1Gi"}}`, spec, max(1, (free-forServers)/fit)), err
}
