package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	batchfake "k8s.io/client-go/kubernetes/typed/batch/v1/fake"
	corefake "k8s.io/client-go/kubernetes/typed/core/v1/fake"
	clienttest "k8s.io/client-go/testing"
)

// fakeCluster is client-go's fake API server with a small Job controller: it makes a pod for each Job, gives the pod
// the status that the Job's function is named after, and deletes the pod with the Job.
type fakeCluster struct {
	*clienttest.Fake

	clients *Clients
	uids    atomic.Int64
	watches atomic.Int64 // that were started
	away    atomic.Bool  // the API server answers nothing
	refused atomic.Value // string: the name of the object that it refuses to delete
	work    sync.WaitGroup
}

// IsWatchListSemanticsUnSupported makes informers list before they watch.
func (*fakeCluster) IsWatchListSemanticsUnSupported() bool { return true }

type fakeBatch struct {
	*batchfake.FakeBatchV1
	*fakeCluster
}

type fakeCore struct {
	*corefake.FakeCoreV1
	*fakeCluster
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{batchv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	tracker := clienttest.NewObjectTracker(scheme, serializer.NewCodecFactory(scheme).UniversalDecoder())
	f := &fakeCluster{Fake: &clienttest.Fake{}}
	f.AddReactor("*", "*", f.prepare)
	f.AddReactor("*", "*", clienttest.ObjectReaction(tracker))
	f.AddWatchReactor("*", func(action clienttest.Action) (bool, watch.Interface, error) {
		if f.away.Load() {
			return true, nil, errAway
		}
		w, err := tracker.Watch(action.GetResource(), action.GetNamespace())
		f.watches.Add(1)
		return true, w, err
	})
	batch, core := &batchfake.FakeBatchV1{Fake: f.Fake}, &corefake.FakeCoreV1{Fake: f.Fake}
	f.clients = &Clients{Batch: fakeBatch{batch, f}, Core: fakeCore{core, f}}
	ctx, stop := context.WithCancel(context.Background())
	jobs, err := batch.Jobs(testNamespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.work.Go(func() { f.control(ctx, t, jobs) })
	t.Cleanup(func() {
		stop()
		jobs.Stop()
		f.work.Wait()
	})
	return f
}

var errAway = errors.New("dial tcp 10.0.0.1:6443: connect: connection refused")

// prepare gives created objects a uid, and returns an error while the server is away or refuses the request.
func (f *fakeCluster) prepare(action clienttest.Action) (bool, runtime.Object, error) {
	if f.away.Load() {
		return true, nil, errAway
	}
	if gone, is := action.(clienttest.DeleteAction); is && gone.GetName() == f.refused.Load() {
		return true, nil, apierrors.NewForbidden(gone.GetResource().GroupResource(), gone.GetName(), errors.New("policy says no"))
	}
	if create, is := action.(clienttest.CreateAction); is {
		if o, is := create.GetObject().(metav1.Object); is && o.GetUID() == "" {
			o.SetUID(types.UID(fmt.Sprintf("uid-%d", f.uids.Add(1))))
			o.SetCreationTimestamp(metav1.Now())
		}
	}
	return false, nil, nil
}

// control acts as Job controller, scheduler and kubelet.
func (f *fakeCluster) control(ctx context.Context, t *testing.T, jobs watch.Interface) {
	for e := range jobs.ResultChan() {
		job, is := e.Object.(*batchv1.Job)
		if !is {
			continue
		}
		var err error
		switch e.Type {
		case watch.Added:
			err = f.start(ctx, job)
		case watch.Deleted:
			err = f.clients.Core.Pods(testNamespace).Delete(ctx, podName(job), metav1.DeleteOptions{})
			if job.Labels[LabelFunction] == kindRefused {
				err = nil
			}
		case watch.Modified, watch.Bookmark, watch.Error:
		}
		if err != nil && ctx.Err() == nil {
			t.Logf("the fake cluster: %v", err)
		}
	}
}

func podName(job *batchv1.Job) string { return job.Name + "-" + string(job.UID) }

func (f *fakeCluster) start(ctx context.Context, job *batchv1.Job) error {
	kind := job.Labels[LabelFunction]
	if kind == kindRefused {
		_, err := f.clients.Core.Events(testNamespace).Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: podName(job), Namespace: testNamespace},
			InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: job.Name, UID: job.UID},
			Reason:         "FailedCreate", Type: corev1.EventTypeWarning,
			Message: `Error creating: pods "x" is forbidden: exceeded quota: small, requested: cpu=500m, used: cpu=0, limited: cpu=0`,
		}, metav1.CreateOptions{})
		return err
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: podName(job), Namespace: testNamespace, Labels: job.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, Controller: pointer(true)}},
		},
		Spec:   job.Spec.Template.Spec,
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	pods := f.clients.Core.Pods(testNamespace)
	if _, err := pods.Create(ctx, p, metav1.CreateOptions{}); err != nil {
		return err
	}
	behave := fakeKinds()[kind]
	if behave == nil {
		return fmt.Errorf("no kind %q", kind)
	}
	p.Spec.NodeName, p.Status.Phase = "node", corev1.PodRunning
	behave(p)
	_, err := pods.Update(ctx, p, metav1.UpdateOptions{})
	return err
}

// fakeKinds set the status of pods, by the name of the function.
func fakeKinds() map[string]func(*corev1.Pod) {
	wait := func(reason, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
			}}}
		}
	}
	return map[string]func(*corev1.Pod){
		kindRuns:        func(*corev1.Pod) {},
		kindEnds:        ended(0, "Completed", ""),
		kindLost:        ended(1, "Error", "davit-runner: no gateway can be reached\n"),
		kindStartFailed: ended(3, "Error", "davit-runner: it ended with exit code 4\n"),
		kindMemory:      ended(137, "OOMKilled", ""),
		kindNoImage:     wait("ErrImagePull", "failed to resolve reference: not found"),
		kindNoSecret:    wait("CreateContainerConfigError", "secret \""+valueSecret("MISSING")+"\" not found"),
		kindHuge: func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
				Message: "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
			}}
		},
	}
}
