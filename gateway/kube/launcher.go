package kube

import (
	"context"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

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

// Launcher starts and stops the runners of one namespace. Any number of Launchers, in as
// many processes, may use the same namespace at once: each one counts all runners, and
// creating a Job that another Launcher has created changes nothing. Its methods are safe
// for concurrent use.
type Launcher struct {
	o    Options
	log  *slog.Logger
	pods podOptions

	exited func(faas.Exit) // set by Run, as is wanted
	wanted Wanted

	jobs, podView, events cache.SharedIndexInformer

	scaling sync.Mutex // one Scale at a time: it counts, and then creates

	mu              sync.Mutex
	podStates       map[types.UID]*podState         // of pods that are not deleted
	launched        map[faas.InvocationID]types.UID // the invocation's Job, until it ends
	created         map[types.UID]createdJob        // Jobs that the watch has not reported
	stopped         map[types.UID]time.Time         // when a Job was stopped or to be deleted
	ended           map[types.UID]time.Time         // when a Job's pod ended
	podless         map[types.UID]podlessJob        // deleted Jobs without a reported pod
	toDelete        map[string]types.UID            // Jobs to delete, by name; "": any uid
	tokens          map[faas.RevisionRef]bool       // revisions whose Secret this process wrote
	joined          map[faas.RunnerID]bool          // runners that have dialled in
	exits           map[faas.RunnerID]knownExit     // exit causes, kept for keepExitsFor
	capacityChanged time.Time                       // when a pod was last scheduled or ended
}

// createdJob is a Job that this process created.
type createdJob struct {
	*batchv1.Job

	at time.Time
}

// podlessJob is a deleted Job of which the watch has reported no pod. The Job had none, or
// the watch reports the pod later.
type podlessJob struct {
	identity

	name string
	at   time.Time
}

// podState is the state of a pod that this Launcher keeps between events.
type podState struct {
	reported  bool      // the end of the pod is reported
	scheduled bool      // the pod has a node
	kind      string    // of the obstacle; "": none
	since     time.Time // when this Launcher first saw the obstacle
}

// knownExit is an exit cause and the time of its report.
type knownExit struct {
	exitCause
	at time.Time
}

// Joined marks a runner as dialled in: Retire does not end it.
func (l *Launcher) Joined(runner faas.RunnerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined[runner] = true
}

// Sandbox returns a short description of how commands are confined.
func (l *Launcher) Sandbox() string { return podSandbox }

// Caveats returns sentences about settings of functions that this launcher does not
// enforce itself.
func (l *Launcher) Caveats() []string {
	return []string{
		"egress is enforced by the cluster's network: where nothing enforces NetworkPolicies, commands reach what their node reaches",
	}
}

// Wanted reports which runners are still needed, and whether this gateway sweeps.
type Wanted interface {
	// WantsRunner reports whether an invocation is there and not final.
	WantsRunner(ctx context.Context, id faas.InvocationID) (bool, error)
	// HasRevision reports whether a revision is registered.
	HasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error)
	// Leads reports whether this gateway leads the fleet: only the leader sweeps Jobs.
	Leads() bool
}
