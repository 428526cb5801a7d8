package kube

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"davit/internal/faas"
)

const viewWithin = 5 * time.Second // for the first lists of Jobs and pods

// The indexes of the views.
const (
	byKept  = "kept"  // Jobs of standby and warm runners, by keptKey
	byOwner = "owner" // pods, by the uid of their Job
)

// failedCreate selects the events of Jobs whose pod the API server refused.
const failedCreate = "reason=FailedCreate,involvedObject.kind=Job"

func listWatch[L runtime.Object](
	pick func(*metav1.ListOptions), client any,
	list func(context.Context, metav1.ListOptions) (L, error), follow func(context.Context, metav1.ListOptions) (watch.Interface, error),
) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			pick(&o)
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			pick(&o)
			return follow(ctx, o)
		},
	}, client)
}

func addHandlers(view cache.SharedIndexInformer, slim cache.TransformFunc, changed, gone func(any)) error {
	var errs []error
	if slim != nil {
		errs = append(errs, view.SetTransform(slim))
	}
	_, err := view.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, now any) { changed(now) },
		DeleteFunc: func(o any) {
			if missed, is := o.(cache.DeletedFinalStateUnknown); is { // while the watch was broken
				o = missed.Obj
			}
			gone(o)
		},
	})
	return errors.Join(append(errs, err)...)
}

// slimPod keeps only the fields of a pod that this package reads, because there may be
// thousands of pods.
func slimPod(o any) (any, error) {
	p, is := o.(*corev1.Pod)
	if !is {
		return o, nil
	}
	slim := &corev1.Pod{ObjectMeta: slimMeta(&p.ObjectMeta), Status: p.Status}
	slim.Spec.NodeName = p.Spec.NodeName
	if w := waitingFor(slim); w != nil {
		w.Message = withUserSecretNames(w.Message, p)
	}
	return slim, nil
}

// withUserSecretNames replaces the names of Secrets by the names that users gave to their
// secrets.
func withUserSecretNames(message string, p *corev1.Pod) string {
	for i := range p.Spec.Containers {
		for _, v := range p.Spec.Containers[i].Env {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
				message = strings.ReplaceAll(message, v.ValueFrom.SecretKeyRef.Name, v.Name)
			}
		}
	}
	return message
}

func slimJob(o any) (any, error) {
	j, is := o.(*batchv1.Job)
	if !is {
		return o, nil
	}
	slim := &batchv1.Job{ObjectMeta: slimMeta(&j.ObjectMeta), Status: j.Status}
	slim.Spec.ActiveDeadlineSeconds = j.Spec.ActiveDeadlineSeconds
	return slim, nil
}

func slimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	slim := *m
	slim.ManagedFields, slim.Annotations = nil, nil
	return slim
}

func keptIndex(o any) ([]string, error) {
	job, is := o.(*batchv1.Job)
	if !is {
		return nil, nil
	}
	who, err := identify(job)
	if err != nil {
		return nil, nil //nolint:nilerr // the Job is of another program
	}
	return []string{who.kept()}, nil
}

func ownerIndex(o any) ([]string, error) {
	if p, is := o.(*corev1.Pod); is {
		return []string{string(jobOfPod(p))}, nil
	}
	return nil, nil
}

// jobOfPod returns the uid of the Job that controls a pod; "": none does.
func jobOfPod(p *corev1.Pod) types.UID {
	if owner := metav1.GetControllerOf(p); owner != nil {
		return owner.UID
	}
	return ""
}

// jobsOf returns a revision's Jobs of one start, including Jobs that this process created
// and the watch has not reported. It reads l.created before the view: a Job leaves
// l.created when it enters the view, and would be missed in the other order.
func (l *Launcher) jobsOf(kept string) []*batchv1.Job {
	all := map[types.UID]*batchv1.Job{}
	l.mu.Lock()
	for uid, job := range l.created {
		if who, err := identify(job); err == nil && who.kept() == kept {
			all[uid] = job.Job
		}
	}
	l.mu.Unlock()
	objects, _ := l.jobs.GetIndexer().ByIndex(byKept, kept) // the index is there
	for _, o := range objects {
		job := o.(*batchv1.Job)
		all[job.UID] = job
	}
	return slices.Collect(maps.Values(all))
}

func (l *Launcher) podsOf(job types.UID) []*corev1.Pod {
	objects, _ := l.podView.GetIndexer().ByIndex(byOwner, string(job)) // the index is there
	pods := make([]*corev1.Pod, 0, len(objects))
	for _, o := range objects {
		pods = append(pods, o.(*corev1.Pod))
	}
	return pods
}

// viewedJob returns the Job of that name in the view. It reports whether the Job is there
// and has the given uid; the uid "" matches any Job.
func (l *Launcher) viewedJob(name string, uid types.UID) (*batchv1.Job, bool) {
	o, there, err := l.jobs.GetIndexer().GetByKey(l.o.Namespace + "/" + name)
	if err != nil || !there {
		return nil, false
	}
	job := o.(*batchv1.Job)
	return job, uid == "" || job.UID == uid
}

// findJob returns the Job from the view or from l.created; nil: it is in neither.
func (l *Launcher) findJob(name string, uid types.UID) *batchv1.Job {
	l.mu.Lock()
	created := l.created[uid].Job
	l.mu.Unlock()
	if job, there := l.viewedJob(name, uid); there {
		return job
	}
	return created
}

// awaitView waits until the first lists of Jobs and pods are complete.
func (l *Launcher) awaitView(ctx context.Context) error {
	if l.hasView() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), l.jobs.HasSynced, l.podView.HasSynced) {
		return errors.New("the first lists of Jobs and pods are not complete")
	}
	return nil
}

func (l *Launcher) hasView() bool { return l.jobs.HasSynced() && l.podView.HasSynced() }

// Ready returns an error until the first lists of Jobs and pods are complete, and nil
// after that: a watch that breaks later is started again.
func (l *Launcher) Ready(context.Context) error {
	if !l.hasView() {
		return faas.Errorf(faas.Unavailable, "the Kubernetes API server has not told what runs")
	}
	return nil
}
