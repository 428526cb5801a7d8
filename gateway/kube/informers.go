package kube

import (
	"context"
	"errors"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

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

// slimPod keeps only the fields of a pod that this package reads, because there may be thousands of pods.
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

// withUserSecretNames replaces the names of Secrets by the names that users gave to their secrets.
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
