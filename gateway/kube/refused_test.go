package kube

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

// some is how many objects a test has, so that the refused one is seldom the last.
const some = 16

// deletions counts the requests to delete objects.
func (f *fakeCluster) deletions() (n int) {
	for _, action := range f.Actions() {
		if action.GetVerb() == "delete" {
			n++
		}
	}
	return n
}

// still returns a Launcher whose Run is not called.
func (f *fakeCluster) still(t *testing.T, wants Wanted) *Launcher {
	t.Helper()
	l, err := New(Options{
		Clients: f.clients, Namespace: testNamespace, Gateways: []string{"127.0.0.1:8082"}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Token: func(faas.RevisionRef) string { return "token" },
	})
	must(t, err)
	l.sweeper.wanted = wants
	return l
}

func TestARefusedJobDelaysNoOther(t *testing.T) {
	f := newFakeCluster(t)
	l, w := f.still(t, nil), &world{clients: f.clients, namespace: testNamespace}
	rev := revision(nil)
	rev.Function = kindRuns
	for range some {
		must(t, l.Launch(t.Context(), rev, newID(t), usualTimeout))
	}
	jobs := w.jobs(t)
	refused := jobs[0].Name
	f.refused.Store(refused)
	for i := range jobs {
		l.deletions.mark(jobs[i].Name, jobs[i].UID)
	}
	f.away.Store(true)
	before := f.deletions()
	l.deletions.deletePending(t.Context())
	if n := f.deletions() - before; n != 1 {
		t.Errorf("%d deletions while the API server does not answer, want 1", n)
	}
	f.away.Store(false)
	l.deletions.deletePending(t.Context())
	if left := w.jobs(t); len(left) != 1 || left[0].Name != refused {
		t.Errorf("%d Jobs are left, want the refused one", len(left))
	}
	f.refused.Store("")
	l.deletions.deletePending(t.Context())
	if left := w.jobs(t); len(left) != 0 {
		t.Errorf("%d Jobs are left", len(left))
	}
}

func TestARefusedTokenDelaysNoOther(t *testing.T) {
	f := newFakeCluster(t)
	l := f.still(t, known{})
	rev := revision(nil)
	for i := range some {
		rev.Number = faas.RevisionNumber(i + 1)
		must(t, l.Prepare(t.Context(), rev))
	}
	left := func() []string {
		secrets, err := f.clients.Core.Secrets(testNamespace).List(t.Context(), metav1.ListOptions{})
		must(t, err)
		var names []string
		for i := range secrets.Items {
			names = append(names, secrets.Items[i].Name)
		}
		return names
	}
	refused := tokenSecret(rev.Ref())
	f.refused.Store(refused)
	if n := len(left()); n != some {
		t.Fatalf("%d Secrets, want %d", n, some)
	}
	f.away.Store(true)
	before := f.deletions()
	l.sweeper.sweepTokens(t.Context())
	if n := f.deletions() - before; n != 1 {
		t.Errorf("%d deletions while the API server does not answer, want 1", n)
	}
	f.away.Store(false)
	l.sweeper.sweepTokens(t.Context())
	if names := left(); len(names) != 1 || names[0] != refused {
		t.Errorf("the Secrets %v are left, want the refused one", names)
	}
	f.refused.Store("")
	l.sweeper.sweepTokens(t.Context())
	if names := left(); len(names) != 0 {
		t.Errorf("the Secrets %v are left", names)
	}
}

// doubtful is a Wanted that needs nothing, and fails for one invocation.
type doubtful struct {
	known
	unknown faas.InvocationID
	err     error
}

func (d doubtful) WantsRunner(_ context.Context, id faas.InvocationID) (bool, error) {
	if id == d.unknown {
		return false, d.err
	}
	return false, nil
}

func TestADoubtfulJobDelaysNoOther(t *testing.T) {
	f := newFakeCluster(t)
	w := &world{clients: f.clients, namespace: testNamespace, within: 15 * time.Second, now: time.Now, watches: f.watches.Load}
	rev, unknown := revision(nil), newID(t)
	rev.Function = kindRuns
	first := f.still(t, nil)
	must(t, first.Launch(t.Context(), rev, unknown, usualTimeout))
	for range some - 1 {
		must(t, first.Launch(t.Context(), rev, newID(t), usualTimeout))
	}
	wants := doubtful{known{leads: true}, unknown, fmt.Errorf("the record of %s cannot be read", unknown)}
	g := w.gatewayThat(t, wants, func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(sweepAfter + time.Minute) }
	})
	w.until(t, "the Jobs in view", func() bool { return len(g.view.jobs.GetStore().List()) == some })
	g.sweeper.sweepIfLeading(t.Context())
	w.until(t, "only the Job of the unknown invocation", func() bool {
		left := w.jobs(t)
		return len(left) == 1 && left[0].Name == callJob(unknown)
	})
}
