package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	typedv1 "k8s.io/client-go/kubernetes/typed/batch/v1"

	"davit/internal/faas"
)

// Options configure a Launcher. Clients, Namespace, Gateways and Token are required.
type Options struct {
	Clients       *Clients
	Namespace     string                        // of functions
	Gateways      []string                      // host:port each, where runners in pods dial in
	Token         func(faas.RevisionRef) string // a revision's runner token
	PullPolicy    string                        // of function images; "": IfNotPresent
	PullSecret    string                        // name of the Secret for pulling them; "": none
	TTL           time.Duration                 // of Jobs that have ended; 0: 5 min
	Unschedulable time.Duration                 // how long a pod waits for capacity; 0: 45 s
	Log           *slog.Logger
	Now           func() time.Time
}

// Launcher starts and stops the runners of one namespace. Any number of Launchers, in as many processes, may use the
// same namespace at once: each one counts all runners, and creating a Job that another Launcher has created changes
// nothing. Its methods are safe for concurrent use.
type Launcher struct {
	client    typedv1.JobInterface
	options   jobOptions
	log       *slog.Logger
	view      *view
	deletions *deletions
	reporter  *reporter
	secrets   *secrets
	sweeper   *sweeper

	scaling sync.Mutex // one Scale at a time: it counts, and then creates
}

// Joined marks a runner as dialled in: Retire does not end it.
func (l *Launcher) Joined(runner faas.RunnerID) { l.view.join(runner) }

// Ready returns an error until the first lists of Jobs and pods are complete, and nil after that: a watch that breaks
// later is started again.
func (l *Launcher) Ready(context.Context) error {
	if !l.view.isComplete() {
		return faas.Errorf(faas.Unavailable, "this gateway has not yet received the lists of Jobs and pods from the Kubernetes API server")
	}
	return nil
}

// Explain returns why a runner ended, or why its node or pod does not respond. known is false if the runner ended in
// order, its pod seems well, or nothing is known of it.
func (l *Launcher) Explain(runner faas.RunnerID) (reason faas.Reason, detail string, known bool) {
	return l.reporter.explain(runner)
}

// Forget deletes the objects of a deleted revision: the Secret of its token, and its Jobs. While a Job of the revision
// is not done, Forget deletes nothing. If it did not delete the token, the sweep calls it again later.
func (l *Launcher) Forget(ctx context.Context, ref faas.RevisionRef) error {
	return refusal(fmt.Sprintf("the runner token of %s was not removed", ref), l.sweeper.forget(ctx, ref))
}

// PutValue writes the Secret with the value of a user's secret. Runners that start later get the new value.
func (l *Launcher) PutValue(ctx context.Context, name, value string) error {
	return refusal(fmt.Sprintf("secret %q was not stored", name), l.secrets.putValue(ctx, name, value))
}

// RemoveValue deletes the Secret of a user's secret. A missing Secret is no error.
func (l *Launcher) RemoveValue(ctx context.Context, name string) error {
	return refusal(fmt.Sprintf("secret %q was not removed", name), l.secrets.removeValue(ctx, name))
}

// Sandbox returns a short description of how commands are confined.
func (l *Launcher) Sandbox() string { return podSandbox }

// Caveats returns sentences about settings of functions that this launcher does not enforce itself.
func (l *Launcher) Caveats() []string {
	return []string{
		"egress is enforced by the cluster's network: where nothing enforces NetworkPolicies, commands reach what their node reaches",
	}
}
