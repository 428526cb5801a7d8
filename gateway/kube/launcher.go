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

// Options are what a Launcher needs.
type Options struct {
	Clients       *Clients
	Namespace     string                        // of functions
	Gateways      []string                      // host:port each, where runners in pods dial in
	Token         func(faas.RevisionRef) string // a revision's runner token
	PullPolicy    string                        // of function images; "": IfNotPresent
	PullSecret    string                        // with which nodes pull them; "": none
	TTL           time.Duration                 // of Jobs that have ended; 0: 5 min
	Unschedulable time.Duration                 // how long a pod waits for others to make room; 0: 45 s
	Log           *slog.Logger
	Now           func() time.Time
}

// Launcher has the runners of one namespace. Any number of them, in as many
// processes, may work on it at once: all see all runners, and creating what
// another one has created changes nothing. Its methods may be called from many goroutines.
type Launcher struct {
	o    Options
	log  *slog.Logger
	pods podOptions

	exited func(faas.Exit) // given to Run, as wanted is
	wanted Wanted

	jobs, podView, events cache.SharedIndexInformer

	scaling sync.Mutex // one Scale at a time: it counts, and then creates

	mu       sync.Mutex
	seen     map[types.UID]*sighting         // pods that have not gone yet
	launched map[faas.InvocationID]types.UID // its Job, until it ends
	created  map[types.UID]fresh             // and not yet in the view
	stopped  map[types.UID]time.Time         // Jobs that are not wanted any more, and since when
	ended    map[types.UID]time.Time         // Jobs whose pod has ended, and when
	bare     map[types.UID]bareJob           // Jobs that are gone, of which no pod was seen
	undone   map[string]types.UID            // Jobs that are still to be deleted, by name; "": whichever has it
	tokens   map[faas.RevisionRef]bool       // whose Secret was written by this process
	joined   map[faas.RunnerID]bool          // that have dialled in
	known    map[faas.RunnerID]remembered    // fates of the last minutes
	room     time.Time                       // when a runner last got a place, or gave one back
}

// fresh is a Job that was just created.
type fresh struct {
	*batchv1.Job

	at time.Time
}

// bareJob is a Job that was deleted before it had a pod, unless its pod is only late in view.
type bareJob struct {
	identity

	name string
	at   time.Time
}

// sighting is a pod as this Launcher follows it.
type sighting struct {
	told   bool      // its end
	placed bool      // it has a node
	kind   string    // of what holds it up; "": nothing
	since  time.Time // when that began, as seen here
}

// remembered is a fate and when it was told.
type remembered struct {
	fate
	at time.Time
}

// Joined notes that a runner has dialled in.
func (l *Launcher) Joined(runner faas.RunnerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined[runner] = true
}

// Sandbox says in a few words what confines the commands of this launcher's runners.
func (l *Launcher) Sandbox() string { return podSandbox }

// Caveats says in sentences what functions ask for and this launcher does not enforce itself.
func (l *Launcher) Caveats() []string {
	return []string{
		"egress is enforced by the cluster's network: where nothing enforces NetworkPolicies, commands reach what their node reaches",
	}
}

// Wanted tells whether runners are still of use to anybody.
type Wanted interface {
	// WantsRunner reports whether an invocation is there and not final.
	WantsRunner(ctx context.Context, id faas.InvocationID) (bool, error)
	// HasRevision reports whether a revision is registered.
	HasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error)
	// Leads reports whether this gateway is the one of all gateways that sweeps.
	Leads() bool
}
