package kube

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"davit/internal/faas"
)

const (
	viewWithin = 5 * time.Second // for the first lists of Jobs and pods
	// createdFor is how long the watch may take to report a Job that was created.
	createdFor = 30 * time.Second
)

// view is what this process knows of the Jobs and pods of the namespace: what the watches have reported, the Jobs that
// this process has created since, and the runners that have dialled in.
type view struct {
	namespace          string
	now                func() time.Time
	jobs, pods, events cache.SharedIndexInformer

	mu      sync.Mutex
	created map[types.UID]createdJob // Jobs that the watch has not reported
	joined  map[faas.RunnerID]bool   // runners that have dialled in
}

// createdJob is a Job that this process created.
type createdJob struct {
	*batchv1.Job

	at time.Time
}

// newView makes the view with one watch for each of Jobs, pods and events. The informer starts a broken watch again.
func newView(c *Clients, namespace string, now func() time.Time) *view {
	runners := func(o *metav1.ListOptions) { o.LabelSelector = selector }
	failures := func(o *metav1.ListOptions) { o.FieldSelector = failedCreate }
	jobs, pods, events := c.Batch.Jobs(namespace), c.Core.Pods(namespace), c.Core.Events(namespace)
	return &view{
		namespace: namespace, now: now,
		jobs:    cache.NewSharedIndexInformer(listWatch(runners, c.Batch, jobs.List, jobs.Watch), &batchv1.Job{}, 0, cache.Indexers{byKept: keptIndex}),
		pods:    cache.NewSharedIndexInformer(listWatch(runners, c.Core, pods.List, pods.Watch), &corev1.Pod{}, 0, cache.Indexers{byOwner: ownerIndex}),
		events:  cache.NewSharedIndexInformer(listWatch(failures, c.Core, events.List, events.Watch), &corev1.Event{}, 0, cache.Indexers{}),
		created: map[types.UID]createdJob{}, joined: map[faas.RunnerID]bool{},
	}
}

// await waits until the first lists of Jobs and pods are complete.
func (v *view) await(ctx context.Context) error {
	if v.isComplete() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), v.jobs.HasSynced, v.pods.HasSynced) {
		return errors.New("the first lists of Jobs and pods are not complete")
	}
	return nil
}

// isComplete reports whether the first lists of Jobs and pods are complete.
func (v *view) isComplete() bool { return v.jobs.HasSynced() && v.pods.HasSynced() }

// add adds a Job that this process created, because the watch reports it later.
func (v *view) add(made *batchv1.Job) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, reported := v.job(made.Name, made.UID); !reported {
		v.created[made.UID] = createdJob{made, v.now()}
	}
}

// removeCreated removes a Job from those that the watch has not reported.
func (v *view) removeCreated(job types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.created, job)
}

// removeExpired removes the created Jobs that the watch will not report any more.
func (v *view) removeExpired() {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.created, func(_ types.UID, job createdJob) bool { return now.Sub(job.at) > createdFor })
}

// kept returns a revision's Jobs of one start, by keptKey, including Jobs that this process created and the watch has
// not reported. It reads v.created before the informer: a Job leaves v.created when it enters the informer, and would
// be missed in the other order.
func (v *view) kept(key string) []*batchv1.Job {
	all := map[types.UID]*batchv1.Job{}
	v.mu.Lock()
	for uid, job := range v.created {
		if who, err := identify(job); err == nil && who.kept() == key {
			all[uid] = job.Job
		}
	}
	v.mu.Unlock()
	objects, _ := v.jobs.GetIndexer().ByIndex(byKept, key) // the index is there
	for _, o := range objects {
		job := o.(*batchv1.Job)
		all[job.UID] = job
	}
	return slices.Collect(maps.Values(all))
}

// reportedJobs returns all Jobs that the watch has reported.
func (v *view) reportedJobs() []*batchv1.Job {
	objects := v.jobs.GetStore().List()
	jobs := make([]*batchv1.Job, 0, len(objects))
	for _, o := range objects {
		jobs = append(jobs, o.(*batchv1.Job))
	}
	return jobs
}

// ofRevision returns the Jobs of a revision that the watch has reported.
func (v *view) ofRevision(ref faas.RevisionRef) []*batchv1.Job {
	return slices.DeleteFunc(v.reportedJobs(), func(job *batchv1.Job) bool {
		who, err := identify(job)
		return err != nil || who.ref != ref
	})
}

// job returns the Job of that name that the watch has reported. It reports whether the Job is there and has the given
// uid; the uid "" matches any Job.
func (v *view) job(name string, uid types.UID) (*batchv1.Job, bool) {
	o, there, err := v.jobs.GetIndexer().GetByKey(v.namespace + "/" + name)
	if err != nil || !there {
		return nil, false
	}
	job := o.(*batchv1.Job)
	return job, uid == "" || job.UID == uid
}

// find returns a Job that the watch has reported or this process created; nil: neither.
func (v *view) find(name string, uid types.UID) *batchv1.Job {
	v.mu.Lock()
	created := v.created[uid].Job
	v.mu.Unlock()
	if job, there := v.job(name, uid); there {
		return job
	}
	return created
}

// podsOf returns the pods of a Job.
func (v *view) podsOf(job types.UID) []*corev1.Pod {
	objects, _ := v.pods.GetIndexer().ByIndex(byOwner, string(job)) // the index is there
	pods := make([]*corev1.Pod, 0, len(objects))
	for _, o := range objects {
		pods = append(pods, o.(*corev1.Pod))
	}
	return pods
}

// pod returns the pod of a runner; nil: there is none.
func (v *view) pod(runner faas.RunnerID) *corev1.Pod {
	o, there, err := v.pods.GetStore().GetByKey(v.namespace + "/" + string(runner))
	if err != nil || !there {
		return nil // a key of that form is never an error
	}
	return o.(*corev1.Pod)
}

// pending returns the pods that have not started.
func (v *view) pending() (pods []*corev1.Pod) {
	for _, o := range v.pods.GetStore().List() {
		if p := o.(*corev1.Pod); p.Status.Phase == corev1.PodPending {
			pods = append(pods, p)
		}
	}
	return pods
}

// join records that a runner has dialled in, until its pod is deleted.
func (v *view) join(runner faas.RunnerID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.joined[runner] = true
}

// leave records that the pod of a runner is deleted.
func (v *view) leave(runner faas.RunnerID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.joined, runner)
}

// hasJoined reports whether the runner of a Job has dialled in.
func (v *view) hasJoined(job types.UID) bool {
	pods := v.podsOf(job)
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return v.joined[faas.RunnerID(p.Name)] })
}
