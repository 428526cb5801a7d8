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
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"davit/internal/every"
	"davit/internal/faas"
)

// checkEvery is the time between two checks of what depends on time.
const checkEvery = time.Second

// New returns a Launcher, which needs Run to run. New sends no request to the cluster.
func New(o Options) (*Launcher, error) {
	if o.Namespace == "" || len(o.Gateways) == 0 || o.Token == nil {
		return nil, errors.New("make the Kubernetes launcher: namespace, gateways or tokens are missing")
	}
	o.complete()
	jobs := o.Clients.Batch.Jobs(o.Namespace)
	l := &Launcher{
		client: jobs, log: o.Log,
		options: jobOptions{namespace: o.Namespace, ttl: o.TTL, pods: podOptions{
			gateways: o.Gateways, pullPolicy: corev1.PullPolicy(o.PullPolicy), pullSecret: o.PullSecret,
		}},
		view:      newView(o.Clients, o.Namespace, o.Now),
		deletions: newDeletions(jobs, o.Log, o.Now),
		secrets:   newSecrets(o.Clients.Core.Secrets(o.Namespace), o.Token),
	}
	l.reporter = newReporter(l.view, l.deletions, newObstacles(o.Unschedulable), o.Now)
	l.sweeper = &sweeper{view: l.view, reporter: l.reporter, deletions: l.deletions, secrets: l.secrets, log: o.Log, now: o.Now}
	return l, l.addHandlers()
}

// complete fills in the defaults.
func (o *Options) complete() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TTL <= 0 {
		o.TTL = 5 * time.Minute
	}
	if o.Unschedulable <= 0 {
		o.Unschedulable = 45 * time.Second
	}
	if o.PullPolicy == "" {
		o.PullPolicy = string(corev1.PullIfNotPresent)
	}
}

// addHandlers makes the reporter handle the events of the watches.
func (l *Launcher) addHandlers() error {
	r := l.reporter
	for _, watch := range []struct {
		of      cache.SharedIndexInformer
		slim    cache.TransformFunc
		changed func(any)
		gone    func(any)
	}{
		{l.view.jobs, slimJob, func(o any) { l.view.removeCreated(o.(*batchv1.Job).UID) }, func(o any) { r.onJobDeleted(o.(*batchv1.Job)) }},
		{l.view.pods, slimPod, func(o any) { r.onPod(o.(*corev1.Pod)) }, func(o any) { r.onPodDeleted(o.(*corev1.Pod)) }},
		{l.view.events, nil, func(o any) { r.onFailedCreate(o.(*corev1.Event)) }, func(any) {}},
	} {
		if err := addHandlers(watch.of, watch.slim, watch.changed, watch.gone); err != nil {
			return fmt.Errorf("watch the cluster: %w", err)
		}
	}
	return nil
}

// Run watches the cluster until ctx ends. It calls exited once for the end of each pod, in no order; exited must not
// block long. Run deletes the Jobs that wanted does not need; if wanted is nil, it sweeps nothing. Runners go on when
// Run returns.
func (l *Launcher) Run(ctx context.Context, exited func(faas.Exit), wanted Wanted) error {
	l.reporter.exited, l.sweeper.wanted = exited, wanted
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(l.log.Handler()))
	var work sync.WaitGroup
	for _, watch := range []cache.SharedIndexInformer{l.view.jobs, l.view.pods, l.view.events} {
		work.Go(func() { watch.RunWithContext(ctx) })
	}
	if wanted != nil {
		work.Go(func() { l.sweeper.run(ctx) })
	}
	every.Interval(ctx, checkEvery, l.checkPeriodically)
	work.Wait()
	return nil
}

// checkPeriodically does the work that depends on time.
func (l *Launcher) checkPeriodically(ctx context.Context) {
	l.reporter.checkPeriodically()
	l.deletions.deletePending(ctx)
	l.deletions.removeExpired()
	l.view.removeExpired()
}
