package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"davit/internal/faas"
)

// TestAway checks that all methods return an error while the API server does not answer, and that the Launcher deletes
// the stopped Jobs once the API server answers.
func TestAway(t *testing.T) {
	cluster := newFakeCluster(t)
	w := &world{clients: cluster.clients, namespace: testNamespace, within: 15 * time.Second, now: time.Now, watches: cluster.watches.Load}
	g := w.gateway(t, nil)
	rev, id := revision(func(*faas.FunctionSpec) {}), newID(t)
	rev.Function = kindRuns
	must(t, g.Launch(t.Context(), rev, id, usualTimeout))
	must(t, g.Scale(t.Context(), rev, faas.StartStandby, 1))
	w.running(t, 2)
	cluster.away.Store(true)
	for what, err := range map[string]error{
		"launch": g.Launch(t.Context(), rev, newID(t), usualTimeout),
		"scale":  g.Scale(t.Context(), rev, faas.StartStandby, 2),
		"stop":   g.Stop(t.Context(), id),
		"value":  g.PutValue(t.Context(), "A", "b"),
	} {
		if faas.KindOf(err) != faas.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := g.Running(rev.Ref(), faas.StartStandby); n != 1 {
		t.Errorf("%d are running", n)
	}
	cluster.away.Store(false)
	w.running(t, 1)
	if e := w.exit(t, g, kindRuns); e.Invocation != "" || e.Reason != "" {
		t.Errorf("%+v", e)
	}
	must(t, g.Scale(t.Context(), rev, faas.StartStandby, 2))
	w.running(t, 2)
}

// TestRefusals checks that refusal distinguishes a request that the API server refuses from an API server that does not
// answer.
func TestRefusals(t *testing.T) {
	jobs := schema.GroupResource{Group: "batch", Resource: "jobs"}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errAway, "the Kubernetes API server does not answer"},
		{context.DeadlineExceeded, "the Kubernetes API server does not answer"},
		{apierrors.NewForbidden(jobs, "x", errors.New("exceeded quota: small")), "quota is used up: jobs.batch \"x\" is forbidden: exceeded quota: small"},
		{apierrors.NewForbidden(jobs, "x", errors.New("policy says no")), "the cluster refuses it: jobs.batch \"x\" is forbidden: policy says no"},
		{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "functions"), "the namespace of functions does not exist"},
		{apierrors.NewServiceUnavailable("etcd"), "the Kubernetes API server cannot handle the request now"},
		{apierrors.NewTooManyRequests("later", 1), "the Kubernetes API server cannot handle the request now"},
	} {
		var e *faas.Error
		got := refusal("no runner could be started", fmt.Errorf("create: %w", c.err))
		if !errors.As(got, &e) || e.Kind != faas.Unavailable || e.RetryAfter <= 0 || !strings.Contains(e.Detail, c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v: %v, want %q", c.err, got, c.want)
		}
	}
	own := faas.Errorf(faas.NotAllowed, "too long")
	if got := refusal("no runner could be started", own); !errors.Is(got, own) || faas.KindOf(got) != faas.NotAllowed {
		t.Errorf("an error that users may read became %v", got)
	}
	if got := refusal("no runner could be started", nil); got != nil {
		t.Errorf("none became %v", got)
	}
}
