package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"davit/internal/faas"
)

// New returns a Launcher, which needs Run to run. New sends no request to the cluster.
func New(o Options) (*Launcher, error) {
	if o.Namespace == "" || len(o.Gateways) == 0 || o.Token == nil {
		return nil, errors.New("make the Kubernetes launcher: namespace, gateways or tokens are missing")
	}
	l := &Launcher{
		o: o, log: o.Log,
		podStates: map[types.UID]*podState{}, launched: map[faas.InvocationID]types.UID{}, created: map[types.UID]createdJob{},
		stopped: map[types.UID]time.Time{}, ended: map[types.UID]time.Time{}, podless: map[types.UID]podlessJob{}, toDelete: map[string]types.UID{}, tokens: map[faas.RevisionRef]bool{},
		joined: map[faas.RunnerID]bool{}, exits: map[faas.RunnerID]knownExit{},
	}
	l.complete()
	return l, l.watchAll()
}

func (l *Launcher) complete() {
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	if l.o.TTL <= 0 {
		l.o.TTL = 5 * time.Minute
	}
	if l.o.Unschedulable <= 0 {
		l.o.Unschedulable = 45 * time.Second
	}
	l.pods = podOptions{gateways: l.o.Gateways, pullPolicy: corev1.PullPolicy(l.o.PullPolicy), pullSecret: l.o.PullSecret}
	if l.pods.pullPolicy == "" {
		l.pods.pullPolicy = corev1.PullIfNotPresent
	}
}

// watchAll makes the views of Jobs, pods and events, with one watch each. The informer
// starts a broken watch again.
func (l *Launcher) watchAll() error {
	ns, c := l.o.Namespace, l.o.Clients
	jobs := func(o *metav1.ListOptions) { o.LabelSelector = selector }
	events := func(o *metav1.ListOptions) { o.FieldSelector = failedCreate }
	l.jobs = cache.NewSharedIndexInformer(listWatch(jobs, c.Batch, c.Batch.Jobs(ns).List, c.Batch.Jobs(ns).Watch),
		&batchv1.Job{}, 0, cache.Indexers{byKept: keptIndex})
	l.podView = cache.NewSharedIndexInformer(listWatch(jobs, c.Core, c.Core.Pods(ns).List, c.Core.Pods(ns).Watch),
		&corev1.Pod{}, 0, cache.Indexers{byOwner: ownerIndex})
	l.events = cache.NewSharedIndexInformer(listWatch(events, c.Core, c.Core.Events(ns).List, c.Core.Events(ns).Watch),
		&corev1.Event{}, 0, cache.Indexers{})
	for _, view := range []struct {
		of      cache.SharedIndexInformer
		slim    cache.TransformFunc
		changed func(any)
		gone    func(any)
	}{
		{l.jobs, slimJob, func(o any) { l.onJob(o.(*batchv1.Job)) }, func(o any) { l.onJobDeleted(o.(*batchv1.Job)) }},
		{l.podView, slimPod, func(o any) { l.onPod(o.(*corev1.Pod)) }, func(o any) { l.onPodDeleted(o.(*corev1.Pod)) }},
		{l.events, nil, func(o any) { l.onFailedCreate(o.(*corev1.Event)) }, func(any) {}},
	} {
		if err := addHandlers(view.of, view.slim, view.changed, view.gone); err != nil {
			return fmt.Errorf("watch the cluster: %w", err)
		}
	}
	return nil
}

// Run watches the cluster until ctx ends. It calls exited once for the end of each pod, in
// no order; exited must not block long. Run deletes the Jobs that wanted does not need; if
// wanted is nil, it sweeps nothing. Runners go on when Run returns.
func (l *Launcher) Run(ctx context.Context, exited func(faas.Exit), wanted Wanted) error {
	l.exited, l.wanted = exited, wanted
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(l.log.Handler()))
	var work sync.WaitGroup
	for _, view := range []cache.SharedIndexInformer{l.jobs, l.podView, l.events} {
		work.Go(func() { view.RunWithContext(ctx) })
	}
	if wanted != nil {
		work.Go(func() { l.runSweep(ctx) })
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			work.Wait()
			return nil
		case <-tick.C:
			l.checkPeriodically(ctx)
		}
	}
}
