package kube

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

// known is a Wanted that needs one invocation and one revision.
type known struct {
	invocation faas.InvocationID
	revision   faas.RevisionRef
	leads      bool // whether the gateway leads the fleet
}

func (k known) WantsRunner(_ context.Context, id faas.InvocationID) (bool, error) {
	return id == k.invocation, nil
}

func (k known) Leads() bool { return k.leads }

func (k known) HasRevision(_ context.Context, ref faas.RevisionRef) (bool, error) {
	return ref == k.revision, nil
}

// testSweep checks that the leader, and no other gateway, deletes the orphaned Jobs and no other Jobs.
func testSweep(t *testing.T, w *world) {
	id, rev, gone := newID(t), w.revision(kindRuns), w.revision(kindHuge)
	g := w.gateway(t, func(o *Options) { o.Unschedulable = time.Hour })
	must(t, g.Launch(t.Context(), rev, id, usualTimeout))
	must(t, g.Launch(t.Context(), rev, newID(t), usualTimeout))
	must(t, g.Scale(t.Context(), rev, faas.StartStandby, 1))
	w.running(t, 3)
	g.stop()
	must(t, g.Scale(t.Context(), gone, faas.StartStandby, 1))

	late := func(o *Options) { o.Now = func() time.Time { return time.Now().Add(sweepAfter + time.Minute) } }
	follower := w.gatewayThat(t, known{id, rev.Ref(), false}, late)
	w.until(t, "the Jobs in view", func() bool { return len(follower.view.jobs.GetStore().List()) == 4 })
	follower.sweeper.sweepIfLeading(t.Context())
	follower.deletions.deletePending(t.Context())
	if n := len(w.jobs(t)); n != 4 {
		t.Errorf("a gateway that does not lead left %d Jobs of 4", n)
	}
	leader := w.gatewayThat(t, known{id, rev.Ref(), true}, late)
	w.until(t, "the Jobs in view", func() bool { return len(leader.view.jobs.GetStore().List()) == 4 })
	leader.sweeper.sweepIfLeading(t.Context())
	w.until(t, "only what is of use", func() bool { return len(w.jobs(t)) == 2 })
	for _, job := range w.jobs(t) {
		if job.Name != callJob(id) && job.Name != keptJob(rev.Ref(), faas.StartStandby, 1) {
			t.Errorf("%s is left", job.Name)
		}
	}
}

// testSecrets checks that the Secrets of tokens and of users' values are written, replaced and deleted.
func testSecrets(t *testing.T, w *world) {
	g, restarted := w.gateway(t, nil), w.gateway(t, func(o *Options) { o.Token = func(faas.RevisionRef) string { return "another" } })
	rev := w.revision(kindRuns)
	value := func(name, key string) string {
		t.Helper()
		s, err := w.clients.Core.Secrets(w.namespace).Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "none"
		}
		must(t, err)
		return string(s.Data[key])
	}
	for _, step := range []struct {
		do          func() error
		token, user string
	}{
		{func() error { return g.Prepare(t.Context(), rev) }, "token of runs@3", "none"},
		{func() error { return g.PutValue(t.Context(), "API_KEY", "s3cret") }, "token of runs@3", "s3cret"},
		{func() error { return restarted.Prepare(t.Context(), rev) }, "another", "s3cret"},
		{func() error { return g.PutValue(t.Context(), "API_KEY", "newer") }, "another", "newer"},
		{func() error { return g.Forget(t.Context(), rev.Ref()) }, "none", "newer"},
		{func() error { return g.Forget(t.Context(), rev.Ref()) }, "none", "newer"},
		{func() error { return g.RemoveValue(t.Context(), "API_KEY") }, "none", "none"},
		{func() error { return g.RemoveValue(t.Context(), "API_KEY") }, "none", "none"},
		{func() error { return g.Prepare(t.Context(), rev) }, "token of runs@3", "none"},
	} {
		must(t, step.do())
		token, user := value(tokenSecret(rev.Ref()), tokenKey), value(valueSecret("API_KEY"), valueKey)
		if token != step.token || user != step.user {
			t.Fatalf("token %q, value %q; want %q, %q", token, user, step.token, step.user)
		}
	}
}

// testForget checks that Forget deletes the Jobs of a revision once all of them are done.
func testForget(t *testing.T, w *world) {
	g, other := w.gateway(t, nil), w.gateway(t, nil)
	rev, id := w.revision(kindRuns), newID(t)
	must(t, other.Launch(t.Context(), rev, newID(t), usualTimeout))
	must(t, w.clients.Core.Pods(w.namespace).Delete(t.Context(), w.running(t, 1)[0].Name, metav1.DeleteOptions{}))
	w.exit(t, g, kindRuns)
	must(t, g.Launch(t.Context(), rev, id, usualTimeout))
	w.running(t, 1)
	must(t, g.Forget(t.Context(), rev.Ref()))
	g.checkPeriodically(t.Context())
	if n := len(w.jobs(t)); n != 2 {
		t.Errorf("while one runs, %d Jobs are left", n)
	}
	must(t, g.Stop(t.Context(), id))
	must(t, g.Forget(t.Context(), rev.Ref()))
	w.until(t, "no Job", func() bool { return len(w.jobs(t)) == 0 })
}
