package kube

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
	"davit/internal/testenv"
)

const testNamespace = "davit-kube-test"

// world is a cluster that the suite runs on: client-go's fake cluster, or a real one.
type world struct {
	clients   *Clients
	namespace string
	within    time.Duration // how long an operation of the cluster may take
	// watches returns how many watches were started; nil: a watch gets what was changed since its list. On the fake cluster
	// it does not.
	watches func() int64
	now     func() time.Time
	// revision returns a ready revision whose runners end as kind says.
	revision func(kind string) *faas.Revision
}

// TestSuite runs on the fake cluster, see cluster_test.go for a real one.
func TestSuite(t *testing.T) {
	suite(t, func(t *testing.T) *world {
		began := time.Now()
		quick := func() time.Time { return began.Add(20 * time.Since(began)) }
		fake := newFakeCluster(t)
		return &world{clients: fake.clients, namespace: testNamespace, within: 15 * time.Second, now: quick, watches: fake.watches.Load, revision: func(kind string) *faas.Revision {
			r := revision(nil)
			r.Function = faas.FunctionName(kind)
			if kind == kindNoSecret {
				r.Spec.Secrets = []string{"MISSING"}
			}
			return r
		}}
	})
}

func suite(t *testing.T, begin func(*testing.T) *world) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"Launch", testLaunch},
		{"Stop", testStop},
		{"Endings", testEndings},
		{"DeletedByHand", testDeletedByHand},
		{"Scale", testScale},
		{"Retire", testRetire},
		{"Restart", testRestart},
		{"Sweep", testSweep},
		{"Secrets", testSecrets},
		{"Forget", testForget},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, begin(t)) })
	}
}

// gateway is a gateway whose Launcher runs.
type gateway struct {
	*Launcher

	mu    sync.Mutex
	exits []faas.Exit
	wants Wanted
	stop  func()
}

func (w *world) gateway(t *testing.T, change func(*Options)) *gateway {
	t.Helper()
	return w.gatewayThat(t, nil, change)
}

// gatewayThat starts a gateway that sweeps by wants.
func (w *world) gatewayThat(t *testing.T, wants Wanted, change func(*Options)) *gateway {
	t.Helper()
	g := &gateway{wants: wants}
	o := Options{
		Clients: w.clients, Namespace: w.namespace, Gateways: []string{"127.0.0.1:8082"},
		Token: func(ref faas.RevisionRef) string { return "token of " + ref.String() }, TTL: time.Minute, Now: w.now,
		Log: slog.New(slog.NewTextHandler(logged{t}, nil)),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if g.Launcher, err = New(o); err != nil {
		t.Fatal(err)
	}
	var before int64
	if w.watches != nil {
		before = w.watches()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- g.Run(ctx, func(e faas.Exit) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.exits = append(g.exits, e)
		}, g.wants)
	}()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(g.stop)
	w.until(t, "the view of the cluster", func() bool { return g.Ready(t.Context()) == nil })
	if w.watches != nil {
		w.until(t, "the watches of Jobs, pods and events", func() bool { return w.watches() >= before+3 })
	}
	return g
}

// logged writes a log to a test, and discards it once the test has ended.
type logged struct{ t *testing.T }

func (l logged) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

var _ io.Writer = logged{}

func (w *world) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testenv.EventuallyWithin(t, w.within, what, holds)
}

// exit waits for the exit of a runner of the function that kind names.
func (w *world) exit(t *testing.T, g *gateway, kind string) (exit faas.Exit) {
	t.Helper()
	w.until(t, "the exit of "+kind, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		i := slices.IndexFunc(g.exits, func(e faas.Exit) bool { return string(e.Ref.Function) == kind })
		if i >= 0 {
			exit = g.exits[i]
			g.exits = slices.Delete(g.exits, i, i+1)
		}
		return i >= 0
	})
	return exit
}

func (w *world) jobs(t *testing.T) []batchv1.Job {
	t.Helper()
	list, err := w.clients.Batch.Jobs(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// pods returns the pods that are not over.
func (w *world) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := w.clients.Core.Pods(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return isOver(&p) || p.DeletionTimestamp != nil })
}

// running waits until n pods run, and returns them.
func (w *world) running(t *testing.T, n int) (pods []corev1.Pod) {
	t.Helper()
	w.until(t, "pods that run", func() bool {
		pods = slices.DeleteFunc(w.pods(t), func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
		return len(pods) == n
	})
	return pods
}

func newID(t *testing.T) faas.InvocationID {
	t.Helper()
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const usualTimeout = time.Minute

// testLaunch checks that launching an invocation twice, on one gateway or two, starts one runner.
func testLaunch(t *testing.T, w *world) {
	g, other := w.gateway(t, nil), w.gateway(t, nil)
	rev, id := w.revision(kindRuns), newID(t)
	for _, l := range []*gateway{g, g, other} {
		must(t, l.Launch(t.Context(), rev, id, usualTimeout))
	}
	pods := w.running(t, 1)
	if got, err := identify(&pods[0]); err != nil || got != (identity{rev.Ref(), faas.StartJob, id}) {
		t.Errorf("the pod is labelled %+v (%v)", got, err)
	}
	if jobs := w.jobs(t); len(jobs) != 1 || jobs[0].Name != callJob(id) {
		t.Errorf("%d Jobs", len(jobs))
	}
}

// testStop checks that a stopped runner ends, that its exit names no invocation, and that the invocation can be
// launched again at once.
func testStop(t *testing.T, w *world) {
	g := w.gateway(t, nil)
	rev, id := w.revision(kindRuns), newID(t)
	must(t, g.Launch(t.Context(), rev, id, usualTimeout))
	first := w.running(t, 1)[0]
	must(t, g.Stop(t.Context(), id))
	must(t, g.Launch(t.Context(), rev, id, usualTimeout))
	if e := w.exit(t, g, kindRuns); e.Invocation != "" || e.Reason != "" || string(e.Runner) != first.Name {
		t.Errorf("a stopped runner: %+v", e)
	}
	second := w.running(t, 1)[0]
	if second.Name == first.Name {
		t.Error("it was not launched anew")
	}
	must(t, g.Stop(t.Context(), id))
	must(t, g.Stop(t.Context(), id))
	must(t, g.Stop(t.Context(), newID(t)))
	w.until(t, "no Job", func() bool { return len(w.jobs(t)) == 0 })
}

// testEndings checks the reason of each kind of end, and that the Job of a pod that never starts is deleted.
func testEndings(t *testing.T, w *world) {
	g := w.gateway(t, nil)
	for kind, want := range map[string]faas.Reason{
		kindEnds:        "",
		kindLost:        faas.ReasonRunnerLost,
		kindStartFailed: faas.ReasonStartFailed,
		kindMemory:      faas.ReasonOutOfMemory,
		kindNoImage:     faas.ReasonImagePull,
		kindNoSecret:    faas.ReasonStartFailed,
		kindHuge:        faas.ReasonUnschedulable,
		kindRefused:     faas.ReasonUnschedulable,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			id, rev := newID(t), w.revision(kind)
			must(t, g.Launch(t.Context(), rev, id, usualTimeout))
			e := w.exit(t, g, kind)
			if e.Reason != want || e.Invocation != id || e.Start != faas.StartJob || e.Ref != rev.Ref() || (e.Detail == "") != (want == "") {
				t.Errorf("%+v, want %q", e, want)
			}
			if kind == kindNoSecret && !strings.Contains(e.Detail, `secret "MISSING" not found`) {
				t.Errorf("the detail names no secret that users know: %s", e.Detail)
			}
			if reason, detail, known := g.Explain(e.Runner); known != (want != "") || reason != want || detail != e.Detail {
				t.Errorf("explained: %q, %q, %v", reason, detail, known)
			}
			switch kind {
			case kindNoImage, kindNoSecret, kindHuge, kindRefused:
				w.until(t, "the Job to be deleted", func() bool {
					_, err := w.clients.Batch.Jobs(w.namespace).Get(t.Context(), callJob(id), metav1.GetOptions{})
					return apierrors.IsNotFound(err)
				})
			}
			must(t, g.Launch(t.Context(), rev, id, usualTimeout)) // a further attempt
			if again := w.exit(t, g, kind); again.Reason != want || again.Invocation != id {
				t.Errorf("a further attempt: %+v", again)
			}
		})
	}
}

// testDeletedByHand checks that a runner whose Job or pod is deleted is reported as lost.
func testDeletedByHand(t *testing.T, w *world) {
	g := w.gateway(t, nil)
	rev := w.revision(kindRuns)
	for _, remove := range []func(p *corev1.Pod, id faas.InvocationID) error{
		func(_ *corev1.Pod, id faas.InvocationID) error {
			o := metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}
			return w.clients.Batch.Jobs(w.namespace).Delete(t.Context(), callJob(id), o)
		},
		func(p *corev1.Pod, _ faas.InvocationID) error {
			return w.clients.Core.Pods(w.namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{})
		},
	} {
		id := newID(t)
		must(t, g.Launch(t.Context(), rev, id, usualTimeout))
		p := w.running(t, 1)[0]
		must(t, remove(&p, id))
		if e := w.exit(t, g, kindRuns); e.Reason != faas.ReasonRunnerLost || e.Invocation != id || string(e.Runner) != p.Name {
			t.Errorf("deleted by hand: %+v", e)
		}
		must(t, g.Stop(t.Context(), id))
	}
}

// testScale checks that gateways that scale alike create the same Jobs, and that a runner that ended is replaced.
func testScale(t *testing.T, w *world) {
	g, other := w.gateway(t, nil), w.gateway(t, nil)
	for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
		rev := w.revision(kindRuns)
		var both sync.WaitGroup
		for _, l := range []*gateway{g, other} {
			both.Go(func() {
				if err := l.Scale(t.Context(), rev, start, 3); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		must(t, g.Scale(t.Context(), rev, start, 2))
		w.until(t, "three of them", func() bool { return g.Running(rev.Ref(), start) == 3 && other.Running(rev.Ref(), start) == 3 })
		pods := w.running(t, 3)
		if got, err := identify(&pods[0]); err != nil || got.start != start || got.invocation != "" {
			t.Errorf("%s: the pod is labelled %+v (%v)", start, got, err)
		}
		must(t, w.clients.Core.Pods(w.namespace).Delete(t.Context(), pods[0].Name, metav1.DeleteOptions{}))
		w.until(t, "the other two", func() bool { return g.Running(rev.Ref(), start) == 2 })
		must(t, g.Scale(t.Context(), rev, start, 3))
		if n := g.Running(rev.Ref(), start); n != 3 {
			t.Errorf("%s: %d are running after one was replaced", start, n)
		}
		w.running(t, 3)
		g.Retire(rev.Ref())
		w.running(t, 0)
	}
}

// testRetire checks that Retire does not end runners that have dialled in.
func testRetire(t *testing.T, w *world) {
	g := w.gateway(t, nil)
	rev := w.revision(kindRuns)
	must(t, g.Scale(t.Context(), rev, faas.StartWarm, 2))
	pods := w.running(t, 2)
	w.until(t, "the pods in view", func() bool { return len(g.view.pods.GetStore().List()) >= 2 })
	g.Joined(faas.RunnerID(pods[0].Name))
	g.Retire(rev.Ref())
	if n := g.Running(rev.Ref(), faas.StartWarm); n != 1 {
		t.Errorf("%d are running", n)
	}
	if left := w.running(t, 1); left[0].Name != pods[0].Name {
		t.Errorf("%s is left, not %s", left[0].Name, pods[0].Name)
	}
	if e := w.exit(t, g, kindRuns); e.Reason != "" || string(e.Runner) != pods[1].Name {
		t.Errorf("the retired one: %+v", e)
	}
}

// testRestart checks that a gateway that starts counts the running runners, and reports their ends.
func testRestart(t *testing.T, w *world) {
	first := w.gateway(t, nil)
	rev, id := w.revision(kindRuns), newID(t)
	must(t, first.Launch(t.Context(), rev, id, usualTimeout))
	must(t, first.Scale(t.Context(), rev, faas.StartStandby, 2))
	w.running(t, 3)
	first.stop()
	w.running(t, 3)

	second := w.gateway(t, nil)
	if n := second.Running(rev.Ref(), faas.StartStandby); n != 2 {
		t.Errorf("%d standby runners are running", n)
	}
	must(t, second.Launch(t.Context(), rev, id, usualTimeout))
	if jobs := w.jobs(t); len(jobs) != 3 {
		t.Errorf("%d Jobs", len(jobs))
	}
	must(t, w.clients.Batch.Jobs(w.namespace).Delete(t.Context(), callJob(id), metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}))
	if e := w.exit(t, second, kindRuns); e.Reason != faas.ReasonRunnerLost || e.Invocation != id {
		t.Errorf("%+v", e)
	}
}
